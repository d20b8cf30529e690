"""A small ONNX file with two layers between which something else happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH, HIDDEN, OUT = 40, 24, 3


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """First weight (WIDTH, HIDDEN) of a MatMul, second (OUT, HIDDEN) of a Gemm, and its bias (OUT,)."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(WIDTH, HIDDEN)), random.normal(size=(OUT, HIDDEN))
    return first.astype(np.float32), second.astype(np.float32), random.normal(size=OUT).astype(np.float32)


def save_layers(path: Path, *, opset: int = 21, element: int = TensorProto.FLOAT, batch: int | str = "batch") -> Path:
    """x (batch, WIDTH) · first, tanh, and a Gemm whose weight lies by outputs, to y (batch, OUT), all of one type."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["product"], name="one"),
        helper.make_node("Tanh", ["product"], ["bent"], name="bend"),
        helper.make_node("Gemm", ["bent", "second", "bias"], ["y"], name="two", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", element, [batch, WIDTH])],
        [helper.make_tensor_value_info("y", element, [batch, OUT])],
        [
            numpy_helper.from_array(array.astype(dtype), name)
            for name, array in zip(("first", "second", "bias"), weights(), strict=True)
        ],
        value_info=[
            helper.make_tensor_value_info("product", element, [batch, HIDDEN]),
            helper.make_tensor_value_info("bent", element, [batch, HIDDEN]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def heavy_tailed(rows: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Values (rows, WIDTH) of Student's t with two degrees of freedom: most are small, few are very large."""
    return np.random.default_rng(seed).standard_t(2, size=(rows, WIDTH)).astype(np.float32)
