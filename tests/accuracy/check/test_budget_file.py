"""Budget files: what they allow, and the lines that wrong ones give."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

import attnexport
from attnexport.accuracy.check.budget import Budget
from attnexport.accuracy.check.budget_file import read_budget_file
from attnexport.accuracy.check.override import Override
from attnexport.errors import InputError
from attnexport.models.program import module_paths

RIGHT = """
[outputs.logits]
factor = 4
reason = "softmax stays in half precision"

[layers."blocks.0"]
limit = 1e-3
reason = '''scores near the limit
of half precision'''
"""


def read(tmp_path, text: str):
    path = tmp_path / "budget.toml"
    path.write_text(text, encoding="utf-8")
    return read_budget_file(path, ["logits", "features"], ["blocks.0", "blocks.1"])


def test_overrides_replace_the_rule(tmp_path):
    budget = read(tmp_path, RIGHT)
    logits, block = budget.overrides
    assert (logits, block) == (budget.outputs["logits"], budget.layers["blocks.0"])
    assert block.reason == "scores near the limit of half precision"
    assert Budget(0.25, 0.125, logits).limit == 4 * 0.25 + 0.125
    assert Budget(0.25, 0.125, block).limit == 1e-3
    assert (logits.allowance, block.allowance) == ("4 times PyTorch's error", "an error of 0.001")


def test_rounding_counts_only_beyond_the_limit():
    assert Budget(0.25, 0.125, rounding_error=0.6).limit == 0.625
    assert Budget(0.25, 0.125, rounding_error=0.7).limit == 2 * 0.7 + 0.125
    assert Budget(0.25, 0.125, Override("x", "why", limit=0.1), rounding_error=0.7).limit == 0.1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[outputs", "expected TOML: "),
        ("[output.logits]", "expected the tables outputs and layers, given output"),
        ("outputs = 3", "expected the tables outputs and layers, given outputs"),
        (
            '[outputs.scores]\nlimit = 1\nreason = "old"',
            "outputs.scores: the model has no such name; it has logits, features",
        ),
        (
            '[layers."blocks.7"]\nlimit = 1\nreason = "old"',
            "layers.blocks.7: the model has no such name; it has blocks.0, blocks.1",
        ),
        ("[outputs.logits]", "outputs.logits: expected limit or factor, and reason, given nothing"),
        ("[outputs]\nlogits = 1e-3", "outputs.logits: expected limit or factor, and reason, given 0.001"),
        ("[outputs.logits]\nlimit = 1e-3", "outputs.logits: expected a reason, given none"),
        ('[outputs.logits]\nlimit = 1e-3\nreason = " "', "outputs.logits: expected a reason, given ' '"),
        (
            '[outputs.logits]\nlimit = 1\nfactor = 2\nreason = "a"',
            "expected limit or factor, and reason, given limit, ",
        ),
        ('[outputs.logits]\nlimit = 1\ntolerance = 2\nreason = "a"', "given limit, tolerance, reason"),
        (
            '[outputs.logits]\nlimit = -1\nreason = "a"',
            "outputs.logits: expected a positive number for limit, given -1",
        ),
        ('[outputs.logits]\nfactor = inf\nreason = "a"', "expected a positive number for factor, given inf"),
        (f'[outputs.logits]\nlimit = 1{400 * "0"}\nreason = "a"', "for limit, given a number of too many digits"),
        (f"outputs = {10_000 * '['}", "expected TOML"),
        ('[outputs.logits]\nfactor = true\nreason = "a"', "expected a positive number for factor, given True"),
    ],
)
def test_files_that_do_not_fit(tmp_path, text, line):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'budget.toml'}: ")
    assert line in str(caught.value)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        read_budget_file(tmp_path / "none.toml", [], [])


def test_what_is_no_file_is_not_read(tmp_path):
    """A pipe would wait for ever, a device give more than there is memory."""
    os.mkfifo(tmp_path / "budget.toml")
    with pytest.raises(InputError, match=r"budget\.toml: expected a file of TOML, given something else"):
        read_budget_file(tmp_path / "budget.toml", [], [])


def test_layers_are_the_modules_that_compute_something():
    model = nn.Sequential(attnexport.TopNAttention(8, 2, 3), nn.Identity(), nn.Linear(8, 4))
    paths = module_paths(torch.export.export(model.eval(), (torch.randn(2, 5, 8),), strict=False))
    assert paths[-1] == "2"
    assert "1" not in paths
    assert any(path == "0" or path.startswith("0.") for path in paths)
