"""Files with Q/DQ nodes run as they are written, whatever the processor has."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper as onh
import pytest

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.backends.onnxruntime_sessions import AS_WRITTEN

SCALE = 0.05
WEIGHTS = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
INPUTS = np.random.default_rng(1).standard_normal((16, 8)).astype(np.float32) * 3


def qdq_matmul(path: Path, dtype: int) -> Path:
    """x (n, 8) times WEIGHTS, both through Q/DQ of one scale."""
    nodes = [
        node
        for name in ("x", "w")
        for node in (
            oh.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
            oh.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_dq"]),
        )
    ]
    graph = oh.make_graph(
        [*nodes, oh.make_node("MatMul", ["x_dq", "w_dq"], ["y"])],
        "g",
        [oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 8])],
        [oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8])],
        [
            onh.from_array(np.float32(SCALE), "scale"),
            oh.make_tensor("zero", dtype, [], [0]),
            onh.from_array(WEIGHTS, "w"),
        ],
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 21)], ir_version=10), path)
    return path


def rounded_integers(low: int, high: int):
    return lambda array: np.clip(np.rint(array / SCALE), low, high) * SCALE


def rounded_floats(dtype: type):
    largest = float(ml_dtypes.finfo(dtype).max)
    return lambda array: np.clip(array / SCALE, -largest, largest).astype(dtype).astype(np.float64) * SCALE


@pytest.mark.parametrize(
    ("dtype", "rounded"),
    [
        ("INT8", rounded_integers(-128, 127)),
        ("UINT8", rounded_integers(0, 255)),
        ("INT16", rounded_integers(-32768, 32767)),
        ("INT4", rounded_integers(-8, 7)),
        ("FLOAT8E4M3FN", rounded_floats(ml_dtypes.float8_e4m3fn)),
        ("FLOAT8E5M2", rounded_floats(ml_dtypes.float8_e5m2)),
    ],
)
def test_values_are_those_of_the_formula(dtype: str, rounded, tmp_path: Path):
    backend = OnnxRuntimeBackend(qdq_matmul(tmp_path / "m.onnx", getattr(onnx.TensorProto, dtype)))
    expected = rounded(INPUTS.astype(np.float32)) @ rounded(WEIGHTS.astype(np.float32))
    given = backend.run({"x": INPUTS})["y"]
    assert np.abs(given - expected).max() <= 1e-5 * np.abs(expected).max()
    assert AS_WRITTEN in backend.description
