"""Files for TensorRT 8.x hold nothing that its parser computes wrongly, and compute what they did before."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
import torch

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.tensorrt8 import rewrite_for_tensorrt8, widen_quantized_weights
from tests.conversion.models import DYNAMIC, every_variant, example

X = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)


def graph(body: str, outputs: str) -> ir.Model:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[a, b, c] x) => ({outputs}) {{ {body} }}'
    return ir.from_proto(onnx.parser.parse_model(text))


def run(model: ir.Model, path):
    ir.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return OnnxRuntimeBackend(path).run({"x": X})


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("y = Shape <start = 1> (x)", "int64[2] y"),
        ("y = Shape <start = 0, end = 2> (x)", "int64[2] y"),
        ("y = Shape <start = -1> (x)", "int64[1] y"),
        ("y = Shape <end = -1> (x)", "int64[2] y"),
        ("i = Constant <value_ints = [-1, 1]> () y = Gather (x, i)", "float[2, b, c] y"),
        ("i = Constant <value_int = 2> () s = Shape (x) y = Mul (s, i)", "int64[3] y"),
    ],
)
def test_what_tensorrt_8_gets_wrong_is_written_otherwise(body, outputs, tmp_path):
    expected = run(graph(body, outputs), tmp_path / "before.onnx")
    model = graph(body, outputs)
    rewrite_for_tensorrt8(model)
    assert traps(model) == []
    np.testing.assert_equal(run(model, tmp_path / "after.onnx"), expected)


def test_int8_weights_become_float32_that_rounds_to_the_same_numbers(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(5, 8, 1), torch.nn.Conv1d(8, 8, 3, padding=1))
    attnexport.convert(module, (torch.from_numpy(X),), tmp_path / "m.onnx", target="jetson-orin-jp6.0")
    (name,) = [str(value.name) for value in ir.load(tmp_path / "m.onnx").graph.inputs]
    np.savez(tmp_path / "data.npz", allow_pickle=False, **{name: X})
    attnexport.quantize(tmp_path / "m.onnx", tmp_path / "int8.onnx", to="int8", data=tmp_path / "data.npz")
    model = ir.load(tmp_path / "int8.onnx")
    assert widen_quantized_weights(model) == 2
    ir.save(model, tmp_path / "wide.onnx")
    onnx.checker.check_model(str(tmp_path / "wide.onnx"), full_check=True)
    weights = [value for value in model.graph.initializers.values() if value.shape is not None and len(value.shape) > 2]
    assert {value.dtype for value in weights} == {ir.DataType.FLOAT}
    before, after = (OnnxRuntimeBackend(tmp_path / file).run({name: X}) for file in ("int8.onnx", "wide.onnx"))
    np.testing.assert_equal(after, before)
    assert widen_quantized_weights(model) == 0


@pytest.mark.parametrize("scale", ["float w_scale = {0.5}", "float[4] w_scale = {0.5, 0.25, 2.0, 1.0}"])
@pytest.mark.parametrize("zero_point", ["", ', ""'])
def test_int8_weights_without_a_zero_point_keep_their_sign(scale, zero_point, tmp_path):
    """DequantizeLinear takes the type of what it reads; QuantizeLinear without a zero point gives uint8."""
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[a, 2] x) => (float[a, 4] y)
        <int8[2, 4] w = {{-128, -3, 0, 127, 5, -1, 64, -77}}, {scale}>
        {{ wide = DequantizeLinear <axis = 1> (w, w_scale{zero_point}) y = MatMul (x, wide) }}"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    x = X[0, :, :2]

    def outputs(name: str):
        ir.save(model, tmp_path / name)
        onnx.checker.check_model(str(tmp_path / name), full_check=True)
        return OnnxRuntimeBackend(tmp_path / name).run({"x": x})

    before = outputs("before.onnx")
    assert widen_quantized_weights(model) == 1
    np.testing.assert_equal(outputs("after.onnx"), before)


@pytest.mark.parametrize("nodes", ["plugin", "body"])
def test_converted_files_hold_none_of_it(nodes, tmp_path):
    path = tmp_path / "m.onnx"
    attnexport.convert(
        every_variant(causal=True), (example(),), path, dynamic_shapes=DYNAMIC, target="jetson-orin-jp6.0", nodes=nodes
    )
    assert traps(ir.load(path)) == []


def traps(model: ir.Model) -> list[str]:
    """Nodes that TensorRT 8.x would compute wrongly."""
    wrong = {"Shape": {"start", "end"}, "Constant": {"value_int", "value_ints"}}
    return [
        f"{node.op_type} {node.name}"
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if wrong.get(node.op_type, set()) & set(node.attributes)
    ]
