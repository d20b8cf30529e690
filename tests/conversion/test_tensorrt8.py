"""Files for TensorRT 8.x hold nothing that its parser computes wrongly, and compute what they did before."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.tensorrt8 import rewrite_for_tensorrt8
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
