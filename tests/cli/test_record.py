"""attnexport record, and checks against what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from tests.cli.commands import Refuse, Run
from tests.cli.models import WIDTH, small

ROWS, TOKENS = 5, 7


@pytest.fixture(scope="module")
def recorded(run: Run, saved: Path, folder: Path) -> Path:
    path = folder / "set"
    result = run("record", saved, "-o", path, "--kinds", "normal,length-1,maximum", "--precisions", "fp32,bf16")
    assert (result.code, result.err) == (0, "")
    assert f"WROTE {path}: " in result.out
    assert "budgets for fp32, bf16" in result.text
    return path


@pytest.fixture(scope="module")
def outputs(recorded: Path, converted: Path, folder: Path) -> Path:
    """What ONNX Runtime gives for the set's inputs."""
    path = folder / "outputs"
    path.mkdir()
    backend = OnnxRuntimeBackend(converted)
    for file in (recorded / "inputs").iterdir():
        with np.load(file) as arrays:
            np.savez(path / file.name, **backend.run(dict(arrays)))
    return path


def test_recorded_outputs_pass_where_the_file_does(run: Run, saved: Path, converted: Path, recorded: Path, outputs):
    result = run("check", saved, outputs, converted, "--data", recorded)
    assert (result.code, result.err) == (0, "")
    assert "batches: 3 normal, 1 length-1, 2 maximum" in result.text


def test_a_set_is_data_from_python_too(saved: Path, converted: Path, recorded: Path):
    report = attnexport.check(saved, [converted], data=recorded)
    assert report.passed
    assert [(kind.name, kind.batches) for kind in report.kinds] == [("normal", 3), ("length-1", 1), ("maximum", 2)]


def test_set_is_enough_to_compare_without_this_package(recorded: Path, outputs: Path, tmp_path: Path):
    command = [sys.executable, "-I", recorded / "compare.py", outputs, "--precision", "fp32"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("within") == 3


def test_altered_outputs_are_outside(run: Run, saved: Path, recorded: Path, outputs: Path, tmp_path: Path):
    for file in outputs.iterdir():
        with np.load(file) as arrays:
            np.savez(tmp_path / file.name, output=arrays["output"] + 1e-3)
    result = run("check", saved, tmp_path, "--data", recorded)
    assert result.code == 1
    assert result.err.startswith(f"attnexport: {tmp_path}: output, ")
    assert result.err.endswith(f"; try: outputs in {tmp_path} made again from these inputs\n")


def test_data_is_recorded_with_labels_and_predictions(run: Run, saved: Path, converted: Path, tmp_path: Path):
    data, path = tmp_path / "data.npz", tmp_path / "set"
    x = np.random.default_rng(0).standard_normal((ROWS, TOKENS, WIDTH)).astype(np.float32)
    np.savez(data, x=x, labels=np.zeros((ROWS, TOKENS), np.int64))
    assert run("record", saved, "-o", path, "--data", data, "--precisions", "fp32").code == 0
    result = run("check", saved, converted, "--data", path, "--metric", "accuracy")
    assert (result.code, result.err) == (0, "")
    assert f"of {ROWS * TOKENS} agree; accuracy " in result.text


def test_set_says_which_seed_it_is_of(run: Run, refuse: Refuse, saved: Path, converted: Path, tmp_path: Path):
    path = tmp_path / "set"
    run("record", saved, "-o", path, "--kinds", "normal", "--seeds", 1, "--seed", 7, "--precisions", "fp32")
    assert json.loads((path / "manifest.json").read_text())["seed"] == 7
    assert run("check", saved, converted, "--data", path, "--seed", 7).code == 0
    line = refuse("check", saved, converted, "--data", path, "--seed", 8)
    assert f"{path}: expected a set of seed 8, given seed 7" in line


def test_set_of_other_weights(refuse: Refuse, recorded: Path, converted: Path, tmp_path: Path):
    weights, model = tmp_path / "other.pt", small()
    model.head.bias.data += 1
    torch.save(model.state_dict(), weights)
    options = ("--model", "tests.cli.models:small", "--inputs", f"x=2x9x{WIDTH}", "--dynamic", "x:0=batch,1=tokens")
    line = refuse("check", weights, converted, "--data", recorded, *options)
    assert f"{recorded}: recorded from another model, or from other weights: expected source hash " in line
    assert line.endswith("(small.pt2)")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--precisions", "fp32,int8"), "--precisions: expected one of fp64, fp32, fp16, bf16, given 'int8'"),
        (("--kinds", "huge"), "--kinds: expected some of normal, large"),
        (("--kinds", "normal", "--data", "x.npz"), "--kinds: expected without --data"),
        (("--seeds", 2, "--data", "x.npz"), "--seeds: expected without --data"),
        (("--seed", 2, "--data", "x.npz"), "--seed: expected without --data"),
        (("--longest", 64, "--data", "x.npz"), "--longest: expected without --data"),
    ],
)
def test_options_that_do_not_fit(refuse: Refuse, saved: Path, tmp_path: Path, options, line):
    assert line in refuse("record", saved, "-o", tmp_path / "set", *options)


def test_set_that_is_there_already(refuse: Refuse, saved: Path, tmp_path: Path):
    assert f"{tmp_path}: expected a new folder" in refuse("record", saved, "-o", tmp_path)


def test_recorded_outputs_need_their_inputs(refuse: Refuse, saved: Path, outputs: Path):
    assert "recorded outputs: expected the inputs that they are of in --data" in refuse("check", saved, outputs)


def test_data_without_any_output_is_refused_by_its_axis(refuse: Refuse, saved: Path, tmp_path: Path):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 0, WIDTH), np.float32))
    line = refuse("record", saved, "-o", tmp_path / "set", "--data", tmp_path / "data.npz", "--precisions", "fp32")
    assert "given none" in line
    assert "input x of shape (2, 0, 16) has size 0 on axis 1" in line
