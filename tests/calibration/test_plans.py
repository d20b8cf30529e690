"""A file whose layers have several schemes computes each layer in its own, whatever tensors layers share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.applying import apply
from attnexport.calibration.layers import all_layers
from attnexport.calibration.observing import calibrate
from attnexport.calibration.plans import Plan
from attnexport.calibration.schemes import SCHEMES
from attnexport.errors import InputError
from attnexport.graph.writing import write_model

WIDTH = 32
PRODUCTS = {"a": "shared", "b": "shared", "c": "shared", "d": "own", "e": "own"}
"""Layers by name, and their weights: all read x."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    held = [
        numpy_helper.from_array(random.normal(size=(WIDTH, 8)).astype(np.float32), name) for name in ("shared", "own")
    ]
    nodes = [helper.make_node("MatMul", ["x", weight], [f"y_{name}"], name=name) for name, weight in PRODUCTS.items()]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, ["batch", 8]) for name in PRODUCTS],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "products.onnx")
    return tmp_path / "products.onnx"


def rewritten(file: Path, schemes: dict[str, str]) -> Path:
    """A file in which the layers have these schemes, others fp16."""
    data = file.with_name("data.npz")
    np.savez(data, x=np.random.default_rng(1).normal(size=(20, WIDTH)).astype(np.float32))
    model = ir.load(file)
    layers = all_layers(file, model)
    kept = {layer.name: ir.DataType.FLOAT16 for layer in layers if layer.name not in schemes}
    plan = Plan({name: SCHEMES[scheme] for name, scheme in schemes.items()}, kept)
    apply(file, model, layers, plan, calibrate(file, data))
    output = file.with_name(f"{'_'.join(schemes.values())}.onnx")
    write_model(model, output)
    onnx.checker.check_model(str(output), full_check=True)
    return output


def test_each_layer_of_a_mixed_file_gives_what_it_gives_where_it_is_alone(file: Path):
    schemes = {"a": "int8", "b": "fp8", "c": "int4-weights", "d": "int8-weights"}
    x = {"x": np.random.default_rng(2).normal(size=(7, WIDTH)).astype(np.float32)}
    mixed = OnnxRuntimeBackend(rewritten(file, schemes)).run(x)
    for name, scheme in schemes.items():
        alone = OnnxRuntimeBackend(rewritten(file, {name: scheme})).run(x)
        assert np.array_equal(mixed[f"y_{name}"], alone[f"y_{name}"])
        assert not np.array_equal(mixed[f"y_{name}"], mixed["y_a" if name != "a" else "y_b"])


def test_layers_of_one_type_share_the_pair_of_their_tensor_and_the_copy_of_their_weight(file: Path):
    model = onnx.load(rewritten(file, {"a": "int8", "b": "int8-weights", "d": "int8", "e": "fp8"}))
    quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert [node.input[0] for node in quantizers] == ["x", "x"]
    held = sorted(tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 2)
    assert held == sorted([TensorProto.INT8, TensorProto.INT8, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT16])


@pytest.mark.parametrize("plan", [Plan({"f": SCHEMES["int8-weights"]}, {}), Plan({}, {"f": None})])
def test_a_plan_for_a_layer_that_there_is_not_is_refused(file: Path, plan: Plan):
    """What was asked for would be left out, and nobody told."""
    model = ir.load(file)
    with pytest.raises(InputError, match="expected layers that the plan names, found none called f"):
        apply(file, model, all_layers(file, model), plan, None)
