"""Types of numbers are called as people call them, wherever one is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnexport.accuracy.contenders.texts import parse_contender
from attnexport.accuracy.recorded.options import named_precisions
from attnexport.engines.build_options import build_options
from attnexport.errors import InputError
from attnexport.files.dtype_names import dtype_called, precision_called
from attnexport.models.input_texts import parse_inputs
from tests.cli.commands import Refuse, Run


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("float64", ["f64", "fp64", "double", "np.float64"]),
        ("float32", ["f32", "fp32", "float", "single", "FP32", "torch.float32", torch.float32]),
        ("float16", ["f16", "fp16", "half", "Half", torch.half]),
        ("bfloat16", ["bf16", "BF16", torch.bfloat16]),
        ("int64", ["i64", "long", torch.long]),
        ("int32", ["i32", "int"]),
        ("bool", ["boolean", torch.bool]),
    ],
)
def test_a_type_has_the_names_that_people_write(name: str, spellings: list[object]):
    assert {dtype_called(spelling) for spelling in (name, *spellings)} == {name}


def test_what_is_no_type_is_none():
    assert dtype_called("floaty") is None
    assert precision_called("int32") is None


def test_they_are_taken_in_options_and_arguments():
    written = parse_inputs(["x=2x3:float32", "y=2:Half", "ids=2:long[0,9)", "m=4:boolean"])
    assert [entry.dtype for entry in written.values()] == ["float32", "float16", "int64", "bool"]
    assert parse_contender("torch:half") == parse_contender("torch:fp16")
    assert named_precisions(["float", "half", "fp16"]) == ("fp32", "fp16")
    options = build_options(
        target="rtx-40",
        plugins=None,
        shapes=(),
        precision="bfloat16",
        embed_plugins=False,
        timing_cache=None,
        backend=None,
    )
    assert options.engine.precision == "bf16"


def test_others_are_refused_with_those_that_may_be_meant():
    with pytest.raises(InputError, match=r"expected a dtype of f64, f32, .*, given int16"):
        parse_inputs(["x=2:int16"])
    with pytest.raises(InputError, match=r"^precisions: expected one of fp64, fp32, fp16, bf16, given 'int8'"):
        named_precisions(["int8"])


def test_the_command_line_takes_them(run: Run, refuse: Refuse, tmp_path: Path):
    for name in ("half", "float16", "FP16"):
        line = refuse("check", tmp_path / "absent.pt2", "torch:half", "--precision", name)
        assert line.endswith("absent.pt2: no such file")
    assert "'--precision': 'quarter' is not one of" in refuse("check", "m.pt2", "torch:fp16", "--precision", "quarter")
