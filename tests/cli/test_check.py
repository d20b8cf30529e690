"""attnexport check: exit codes, data and the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.files import sha256
from tests.cli.conftest import Run
from tests.cli.models import CLASSES, WIDTH, small

ROWS, TOKENS = 70, 11


def inputs(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, TOKENS, WIDTH)).astype(np.float32)


def predictions(x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return small()(torch.from_numpy(x)).argmax(-1).numpy()


@pytest.fixture(scope="module")
def labelled(folder: Path) -> Path:
    """Data whose labels are the model's own predictions but for the first row."""
    path = folder / "labelled.npz"
    x = inputs()
    labels = predictions(x)
    labels[0] = (labels[0] + 1) % CLASSES
    np.savez(path, x=x, labels=labels)
    return path


def edited(converted: Path, tmp_path: Path, edit) -> Path:
    model = onnx.load(converted)
    edit(model)
    path = tmp_path / "edited.onnx"
    onnx.save(model, path)
    return path


def test_converted_file_is_within_budget(run: Run, saved: Path, converted: Path):
    result = run("check", saved, converted)
    assert (result.code, result.err) == (0, "")
    assert "within" in result.out
    assert "OUTSIDE" not in result.out
    assert "note:" not in result.out
    assert "predictions" not in result.out


def test_perturbed_weight_is_outside_the_budget(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def perturb(model: onnx.ModelProto) -> None:
        weight = next(entry for entry in model.graph.initializer if entry.name == "head.bias")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-3), weight.name))

    path = edited(converted, tmp_path, perturb)
    report = tmp_path / "report.json"
    result = run("check", saved, path, "--json", report)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith("attnexport: output output: largest error 0.001 is ")
    assert "OUTSIDE" in result.out
    written = json.loads(report.read_text())
    assert not written["passed"]
    assert written["outputs"][0]["largest_error"] == pytest.approx(1e-3, rel=0.01)
    assert written["outputs"][0]["failure"] in line


def test_swapped_inputs_of_a_node_are_outside_the_budget(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def swap(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "KrauseAttention")
        node.input[0], node.input[1] = node.input[1], node.input[0]

    result = run("check", saved, edited(converted, tmp_path, swap))
    assert result.code == 1
    assert result.err.startswith("attnexport: output output: largest error")


def test_labels_give_the_accuracy_of_both(run: Run, saved: Path, converted: Path, labelled: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    result = run("check", saved, converted, "--data", labelled, "--json", report)
    assert (result.code, result.err) == (0, "")
    accuracy = 1 - 1 / ROWS
    assert f"accuracy {accuracy:.2%} in PyTorch, {accuracy:.2%} in the file" in result.text
    task = json.loads(report.read_text())["task"]
    assert task["predictions"] == ROWS * TOKENS
    assert task["agreement"] == 1.0
    assert task["accuracy_torch"] == task["accuracy_file"] == pytest.approx(accuracy)


def test_folder_of_data_is_read_whole(run: Run, saved: Path, converted: Path, tmp_path: Path):
    for seed in (0, 1):
        np.savez(tmp_path / f"part{seed}.npz", x=inputs(7, seed))
    result = run("check", saved, converted, "--data", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert f"100.00% of {2 * 7 * TOKENS} agree" in result.text
    assert "accuracy" not in result.text


def test_json_holds_what_numpy_computes(run: Run, saved: Path, converted: Path, labelled: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    run("check", saved, converted, "--data", labelled, "--json", report)
    written = json.loads(report.read_text())
    x = inputs()
    (given,) = OnnxRuntimeBackend(converted).run({"x": x}).values()
    with torch.no_grad():
        exact = small().double()(torch.from_numpy(x).double()).numpy()
        own = small()(torch.from_numpy(x)).numpy()
    (output,) = written["outputs"]
    assert (output["name"], output["dtype"], output["passed"], output["not_finite"]) == ("output", "float32", True, 0)
    assert output["largest_error"] == pytest.approx(np.abs(given - exact).max(), rel=0.3)
    assert output["torch_error"] == pytest.approx(np.abs(own - exact).max(), rel=0.3)
    assert output["relative_l2"] == pytest.approx(np.linalg.norm(given - exact) / np.linalg.norm(exact), rel=0.3)
    assert output["cosine"] == pytest.approx(1.0)
    assert written["passed"]
    assert written["batches"] == 2
    assert (written["model_sha256"], written["file_sha256"]) == (sha256(saved), sha256(converted))


def test_file_of_other_weights_fails_with_a_note(run: Run, converted: Path, tmp_path: Path):
    weights = tmp_path / "other.pt"
    model = small()
    model.head.bias.data += 1
    torch.save(model.state_dict(), weights)
    options = ("--model", "tests.cli.models:small", "--inputs", f"x=2x9x{WIDTH}", "--seeds", 1)
    result = run("check", weights, converted, *options)
    assert result.code == 1
    assert "was converted from another model, or from other weights" in result.text
