"""The precision written into a file: it predicts as PyTorch does, and what breaks in half stays in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx.helper import make_graph, make_node

import attnexport
from attnexport.engines.shape_texts import parse_shapes
from attnexport.errors import InputError
from attnexport.graph.file_precision import precision_of
from attnexport.graph.functions import inline_all
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.precision import write_precision
from attnexport.plugins.runtime.request import EngineOptions
from tests.engines.models import save_graph, value
from tests.plugins.libraries import SAMPLES

ROWS = {"digits": 120, "language": 8}
HALF = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}


def in_half(path: Path, output: Path, precision: str = "fp16") -> ir.Model:
    """Writes the file in half and returns it."""
    model = ir.load(path)
    write_precision(model, precision)
    ir.save(model, output)
    onnx.checker.check_model(str(output), full_check=True)
    return ir.load(output)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options)


def types_of(model: ir.Model, op_type: str) -> set[ir.DataType]:
    """Types of the first inputs of an operator's nodes."""
    return {node.inputs[0].dtype for node in model.graph if node.op_type == op_type}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_sample_in_fp16_predicts_as_pytorch_does(sample: Path, converted: dict[str, Path], tmp_path: Path):
    family = sample.parent.name
    model = in_half(converted[f"{family}/{sample.stem}"], tmp_path / "half.onnx")
    assert precision_of(model) == "fp16"
    runner = session(tmp_path / "half.onnx")
    (given,) = runner.get_inputs()
    with np.load(sample.parent / "test.npz") as data:
        rows = data[given.name][: ROWS[family]]
    (half,) = runner.run(None, {given.name: rows})
    with torch.no_grad():
        exact = attnexport.load_model(sample).program.module()(torch.from_numpy(rows)).numpy()
    assert half.dtype == np.float32
    assert (half.argmax(-1) == exact.argmax(-1)).mean() >= 0.995
    assert 0 < np.abs(half - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("name", ["digits/hla", "language/krause"])
def test_weights_and_attention_are_half_norms_are_not(
    name: str, precision: str, converted: dict[str, Path], tmp_path: Path
):
    before, half = ir.load(converted[name]), HALF[precision]
    model = in_half(converted[name], tmp_path / "half.onnx", precision)
    assert [(value.name, value.dtype) for value in (*model.graph.inputs, *model.graph.outputs)] == [
        (value.name, value.dtype) for value in (*before.graph.inputs, *before.graph.outputs)
    ]
    assert types_of(model, "MatMul") == {half}
    assert types_of(model, "LayerNormalization") == {ir.DataType.FLOAT}
    ours = variant_nodes(model.graph)
    assert len(ours) == len(variant_nodes(before.graph))
    assert {value.dtype for node, _ in ours for value in (*node.inputs, *node.outputs)} == {half}
    assert {(node.domain, node.op_type) for node, _ in ours} == {name[:2] for name in model.functions}
    weights = [value.const_value for value in model.graph.initializers.values() if value.const_value.size > 100]
    assert len(weights) > 20
    assert {tensor.dtype for tensor in weights} == {half} | ({ir.DataType.FLOAT} if holds_conv(model) else set())


def holds_conv(model: ir.Model) -> bool:
    """Whether there is a convolution that opset 20 has no bfloat16 of."""
    return types_of(model, "Conv") == {ir.DataType.FLOAT}


@pytest.mark.needs("tensorrt-rtx")
def test_tensorrt_builds_bf16(converted: dict[str, Path], tmp_path: Path):
    from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder

    in_half(converted["digits/topn"], tmp_path / "half.onnx", "bf16")
    profiles = parse_shapes(["image=1x8x8:2x8x8:8x8x8"])
    built = TensorRtRtxBuilder().build(tmp_path / "half.onnx", EngineOptions(profiles, sms=(86,)))
    kinds = {(layer.kind, name) for layer in built.layers for name in layer.precisions}
    assert ("MatrixMultiply", "bf16") in kinds
    assert ("Normalization", "fp32") in kinds
    assert ("Normalization", "bf16") not in kinds
    assert b"type=bf16" in built.engine


def both(path: Path, tmp_path: Path, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first output of the file, and of the file in fp16."""
    in_half(path, tmp_path / "half.onnx")
    return session(path).run(None, inputs)[0], session(tmp_path / "half.onnx").run(None, inputs)[0]


def test_statistics_of_large_values_stay_finite(tmp_path: Path):
    nodes = [
        make_node("Mul", ["x", "x"], ["square"]),
        make_node("ReduceMean", ["square", "axes"], ["mean"], keepdims=1),
        make_node("Add", ["mean", "eps"], ["stable"]),
        make_node("Sqrt", ["stable"], ["root"]),
        make_node("Div", ["x", "root"], ["normed"]),
        make_node("MatMul", ["normed", "w"], ["y"]),
    ]
    random = np.random.default_rng(0)
    constants = {
        "axes": np.array([-1]),
        "eps": np.float32(1e-12),
        "w": random.normal(size=(64, 8)).astype(np.float32),
    }
    path = save_graph(tmp_path / "rms.onnx", nodes, [value("x", [4, 64])], constants)
    x = 1000 * random.normal(size=(4, 64)).astype(np.float32)
    expected, given = both(path, tmp_path, x=x)
    assert np.abs(given - expected).max() < 0.01 * np.abs(expected).max()
    zeros = np.zeros((4, 64), dtype=np.float32)
    assert np.array_equal(session(tmp_path / "half.onnx").run(None, {"x": zeros})[0], np.zeros((4, 8), np.float32))


def test_masks_are_finite(tmp_path: Path):
    nodes = [
        make_node("MatMul", ["x", "w"], ["scores"]),
        make_node("Where", ["seen", "scores", "hidden"], ["chosen"]),
        make_node("Add", ["chosen", "causal"], ["masked"]),
        make_node("Not", ["seen"], ["unseen"]),
        make_node("Cast", ["unseen"], ["number"], to=1),
        make_node("Mul", ["number", "large"], ["bias"]),
        make_node("Add", ["masked", "bias"], ["biased"]),
        make_node("Softmax", ["biased"], ["y"], axis=-1),
    ]
    constants = {
        "w": np.eye(4, dtype=np.float32),
        "hidden": np.float32(-np.inf),
        "causal": np.triu(np.full((4, 4), -np.inf, dtype=np.float32), 1),
        "large": np.float32(-1e30),
    }
    inputs = [value("x", [4, 4]), value("seen", [4], onnx.TensorProto.BOOL)]
    path = save_graph(tmp_path / "mask.onnx", nodes, inputs, constants)
    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    expected, given = both(path, tmp_path, x=x, seen=np.array([True, True, False, True]))
    assert np.abs(given - expected).max() < 2e-3
    model = ir.load(tmp_path / "half.onnx")
    halves = [
        tensor.const_value.numpy() for tensor in model.graph.initializers.values() if tensor.dtype == HALF["fp16"]
    ]
    assert len(halves) >= 3
    assert all(np.isfinite(array).all() for array in halves)
    every = [node.outputs[0] for node in model.graph if node.outputs[0].dtype == HALF["fp16"]]
    model.graph.outputs.extend(every)
    ir.save(model, tmp_path / "every.onnx")
    runner = session(tmp_path / "every.onnx")
    assert all(
        np.isfinite(array).all() for array in runner.run(None, {"x": x, "seen": np.array([True, True, False, False])})
    )


@pytest.mark.parametrize("constant", [1e6, 1e-12])
def test_a_constant_that_half_does_not_hold_keeps_its_node_in_float32(constant: float, tmp_path: Path):
    nodes = [
        make_node("Mul", ["x", "c"], ["scaled"], name="mul"),
        make_node("Mul", ["scaled", "d"], ["back"], name="mul_back"),
        make_node("MatMul", ["back", "w"], ["y"], name="matmul"),
    ]
    constants = {"c": np.float32(constant), "d": np.float32(1 / constant), "w": np.eye(8, dtype=np.float32)}
    path = save_graph(tmp_path / "constant.onnx", nodes, [value("x", [4, 8])], constants)
    x = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    expected, given = both(path, tmp_path, x=x)
    assert np.abs(given - expected).max() < 2e-3


def test_positions_are_computed_in_float32(tmp_path: Path):
    nodes = [
        make_node("Shape", ["x"], ["n"], start=0, end=1),
        make_node("Squeeze", ["n"], ["stop"]),
        make_node("Range", ["zero", "stop", "one"], ["index"]),
        make_node("Cast", ["index"], ["position"], to=1),
        make_node("Mul", ["position", "frequency"], ["angle"]),
        make_node("Sin", ["angle"], ["wave"]),
        make_node("Unsqueeze", ["wave", "last"], ["column"]),
        make_node("Add", ["x", "column"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "one": np.int64(1), "frequency": np.float32(0.37), "last": np.array([-1])}
    path = save_graph(tmp_path / "positions.onnx", nodes, [value("x", ["n", 2])], constants)
    expected, given = both(path, tmp_path, x=np.zeros((5000, 2), dtype=np.float32))
    assert np.abs(given - expected).max() < 1e-3


def test_images_of_bytes_are_convolved_in_half(tmp_path: Path):
    nodes = [
        make_node("Cast", ["image"], ["floats"], to=1),
        make_node("Div", ["floats", "white"], ["scaled"]),
        make_node("Conv", ["scaled", "w"], ["y"]),
    ]
    constants = {"white": np.float32(255), "w": np.ones((3, 2, 2, 2), dtype=np.float32)}
    inputs = [value("image", [1, 2, 8, 8], onnx.TensorProto.UINT8)]
    path = save_graph(tmp_path / "bytes.onnx", nodes, inputs, constants)
    model = in_half(path, tmp_path / "half.onnx")
    assert types_of(model, "Conv") == {HALF["fp16"]}


def test_a_branch_gets_what_it_captures_in_float32(tmp_path: Path):
    def branch(name: str, op_type: str) -> onnx.GraphProto:
        return make_graph([make_node(op_type, ["h"], [name])], name, [], [value(name, [4, 8])])

    nodes = [
        make_node("MatMul", ["x", "w"], ["h"]),
        make_node("If", ["c"], ["z"], then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg")),
        make_node("Add", ["z", "h"], ["y"]),
    ]
    inputs = [value("x", [4, 8]), value("c", [], onnx.TensorProto.BOOL)]
    path = save_graph(tmp_path / "if.onnx", nodes, inputs, {"w": np.eye(8, dtype=np.float32)}, outputs=("y", "h"))
    x = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    expected, given = both(path, tmp_path, x=x, c=np.array(True))
    assert np.abs(given - expected).max() < 1e-2


def test_bodies_in_place_of_nodes_stay_in_float32(converted: dict[str, Path], tmp_path: Path):
    bodies = ir.load(converted["digits/topn"])
    inline_all(bodies)
    bodies.functions.clear()
    ir.save(bodies, tmp_path / "body.onnx")
    model = in_half(tmp_path / "body.onnx", tmp_path / "half.onnx")
    assert types_of(model, "Softmax") == types_of(model, "TopK") == {ir.DataType.FLOAT}
    assert types_of(model, "Gemm") == {HALF["fp16"]}


def test_a_file_that_is_half_already(converted: dict[str, Path], tmp_path: Path):
    model = in_half(converted["digits/topn"], tmp_path / "half.onnx")
    content = ir.to_proto(model).SerializeToString(deterministic=True)
    write_precision(model, "fp16")
    assert ir.to_proto(model).SerializeToString(deterministic=True) == content
    for precision in ("fp32", "bf16"):
        with pytest.raises(InputError) as caught:
            write_precision(model, precision)
        expected = f"precision: the file holds fp16 already: expected none or fp16, given {precision}"
        assert str(caught.value) == expected


def test_a_tensor_of_unknown_type(tmp_path: Path):
    node = make_node("Mystery", ["x"], ["h"], domain="com.microsoft", name="mystery")
    path = save_graph(
        tmp_path / "unknown.onnx", [node, make_node("Relu", ["h"], ["y"], name="relu")], [value("x", [4])]
    )
    with pytest.raises(InputError, match="tensor h of node relu: expected a known type, given none"):
        write_precision(ir.load(path), "fp16")
