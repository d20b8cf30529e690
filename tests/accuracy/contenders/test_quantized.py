"""Quantized files are held to PyTorch with the same fake quantization, and their graphs to the model itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import onnx_ir as ir
import pytest
from torch import nn

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.cli import main
from attnexport.graph.file_precision import precision_name
from attnexport.graph.inspection import read_model
from attnexport.graph.quantization import Grid, quantized_weights
from tests.accuracy.contenders.quantized_models import ASYMMETRIC, Files, edited, make_files, quantize, with_initializer


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("quantized"))


@pytest.fixture(scope="module")
def int8(files: Files) -> Path:
    return quantize(files, "int8.onnx")


def check(files: Files, *arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["check", str(files.model), *map(str, arguments), "--data", str(files.data), "--no-cache"])
    return int(ended.value.code or 0)


def test_an_honest_file_is_within_the_budget_of_int8(files: Files, int8: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    assert check(files, int8, "--json", report) == 0
    plain, quantized = json.loads(report.read_text())["contenders"]
    assert plain["facts"]["name"] == f"{int8} without Q/DQ"
    assert plain["facts"]["precision"] == "fp32"
    assert quantized["facts"]["precision"] == "int8"
    assert "Q/DQ nodes as they are written" in quantized["facts"]["runtime"]


def test_the_plain_file_is_the_model_to_single_precision(files: Files, int8: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    check(files, int8, "--json", report)
    plain, quantized = json.loads(report.read_text())["contenders"]
    errors = [contender["outputs"][0]["kinds"][0]["relative_l2"] for contender in (plain, quantized)]
    assert errors[0] < 1e-6 < 1e-3 < errors[1]


def test_an_option_holds_it_to_single_precision(files: Files, int8: Path):
    assert check(files, int8, "--precision", "fp32") == 1


def test_relu_that_the_quantizer_took_out_is_in_the_rounding(tmp_path: Path):
    files = make_files(tmp_path, nn.ReLU())
    int8 = quantize(files, "int8.onnx", options=ASYMMETRIC)
    assert "Relu" not in {node.op_type for node in onnx.load(int8).graph.node}
    assert check(files, int8) == 0


def test_relu_that_nothing_stands_for_is_a_fault(tmp_path: Path):
    files = make_files(tmp_path, nn.ReLU())

    def without_relu(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Identity"

    floating = edited(files.floating, tmp_path / "linear.onnx", without_relu)
    assert check(files, quantize(files, "int8.onnx", floating, options=ASYMMETRIC)) == 1


def fewer_keys(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.domain == "attnexport")
    attribute = next(attribute for attribute in node.attribute if attribute.name == "n")
    attribute.i -= 1


def test_a_wrong_graph_shows_in_the_plain_file_and_is_located(files: Files, tmp_path: Path, capsys):
    """One key fewer moves results less than rounding to 8 bits does."""
    wrong = quantize(files, "wrong.onnx", edited(files.floating, tmp_path / "wrong.onnx", fewer_keys))
    assert check(files, wrong, "--bisect") == 1
    captured = capsys.readouterr()
    assert f"{wrong} without Q/DQ: layer attention" in captured.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        ("_scale", lambda scale: scale * 1.1),
        ("_quantized", lambda values: np.roll(values, 1, 0)),
        ("_quantized", lambda values: -values),
    ],
    ids=["scale", "rows", "sign"],
)
def test_a_weight_that_is_not_the_models_is_named(
    suffix: str, change, files: Files, int8: Path, tmp_path: Path, capsys
):
    names = [tensor.name for tensor in onnx.load(int8).graph.initializer]
    weight = max((name for name in names if name.endswith("_quantized")), key=lambda name: _elements(int8, name))
    stem = weight.removesuffix("_quantized")
    wrong = edited(int8, tmp_path / "wrong.onnx", lambda model: with_initializer(model, stem + suffix, change))
    assert check(files, wrong) == 1
    assert f"weight {stem}" in capsys.readouterr().err


def _elements(path: Path, name: str) -> int:
    tensor = next(tensor for tensor in onnx.load(path).graph.initializer if tensor.name == name)
    return int(np.prod(tensor.dims))


def test_integer_operators_are_refused(files: Files, capsys):
    path = quantize(files, "integers.onnx", integer_operators=True)
    assert check(files, path) == 2
    assert "expected Q/DQ nodes" in capsys.readouterr().err


def dequantized(path: Path, dtype: int, axis: int, block: int, scale: np.ndarray, values: np.ndarray) -> Path:
    """A file that multiplies x (n, 8) by one quantized weight (8, 6)."""
    attributes = {"axis": axis, **({"block_size": block} if block else {})}
    graph = oh.make_graph(
        [
            oh.make_node("DequantizeLinear", ["w_q", "scale"], ["w"], **attributes),
            oh.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "g",
        [oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 8])],
        [oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 6])],
        [
            oh.make_tensor("w_q", dtype, values.shape, values.flatten()),
            oh.make_tensor("scale", onnx.TensorProto.FLOAT, scale.shape, scale.flatten()),
        ],
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("dtype", "axis", "block", "scales", "name"),
    [
        ("INT8", 0, 0, (), "int8-weights"),
        ("INT8", 1, 0, (6,), "int8-weights"),
        ("INT4", 0, 4, (2, 6), "int4-weights"),
        ("FLOAT8E4M3FN", 0, 0, (), "fp8-weights"),
    ],
)
def test_weights_read_are_those_that_onnxruntime_computes_with(
    dtype: str, axis: int, block: int, scales: tuple[int, ...], name: str, tmp_path: Path
):
    random = np.random.default_rng(0)
    values, scale = random.integers(-7, 8, (8, 6)), random.uniform(0.1, 0.3, scales).astype(np.float32)
    path = dequantized(tmp_path / "m.onnx", getattr(onnx.TensorProto, dtype), axis, block, np.asarray(scale), values)
    (weight,) = quantized_weights(ir.load(path))
    given = OnnxRuntimeBackend(path).run({"x": np.eye(8, dtype=np.float32)})["y"]
    np.testing.assert_allclose(weight.values, given, rtol=1e-6)
    assert precision_name(read_model(path)) == name


def test_rounding_goes_to_the_nearest_value_and_stops_at_the_ends():
    grid = Grid(np.float32(0.5), np.int8(-3), ir.DataType.INT8, 1, 0)
    values = np.array([0.2, 0.26, 0.75, 1.25, 1e9, -1e9])
    np.testing.assert_array_equal(grid.rounded(values), [0.0, 0.5, 1.0, 1.0, 0.5 * (127 + 3), 0.5 * (-128 + 3)])


def test_files_are_named_by_what_they_round_to(files: Files, int8: Path):
    assert precision_name(read_model(int8)) == "int8"
    assert precision_name(read_model(files.floating)) == "fp32"
