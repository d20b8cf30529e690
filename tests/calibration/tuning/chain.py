"""A chain of layers, one of which int8 activations ruin: what it multiplies has one channel a thousand times larger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from attnexport.backends.onnxruntime import OnnxRuntimeBackend

WIDTH, CLASSES = 48, 10
LAYERS = ("first", "damaged", "third", "head")
RUINED = "damaged"


def save_chain(path: Path, *, opset: int = 21, element: int = TensorProto.FLOAT) -> Path:
    """x (batch, WIDTH) through four layers with tanh between them to y (batch, CLASSES)."""
    random = np.random.default_rng(0)
    dtype = helper.tensor_dtype_to_np_dtype(element)
    spread = np.ones(WIDTH)
    spread[0] = 1000.0
    weights = {name: random.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5 for name in LAYERS[:-1]}
    weights[RUINED][0] /= 1000.0
    weights["head"] = random.normal(size=(WIDTH, CLASSES)) / WIDTH**0.5
    nodes, value = [], "x"
    for name in LAYERS:
        if name == RUINED:
            nodes.append(helper.make_node("Mul", [value, "spread"], ["wide"], name="spreading"))
            value = "wide"
        product = "y" if name == "head" else f"{name}_product"
        nodes.append(helper.make_node("MatMul", [value, f"{name}_weight"], [product], name=name))
        if name != "head":
            nodes.append(helper.make_node("Tanh", [product], [f"{name}_bent"], name=f"{name}_tanh"))
            value = f"{name}_bent"
    held = [numpy_helper.from_array(weight.astype(dtype), f"{name}_weight") for name, weight in weights.items()]
    held.append(numpy_helper.from_array(spread.astype(dtype), "spread"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", element, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", element, ["batch", CLASSES])],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def save_data(path: Path, model: Path, *, rows: int = 200, seed: int = 1) -> Path:
    """Inputs of the chain, and labels: what the floating file predicts."""
    x = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    outputs = OnnxRuntimeBackend(model).run({"x": x})
    np.savez(path, x=x, labels=outputs["y"].argmax(-1))
    return path


def relative_error(file: Path, model: Path, data: Path) -> float:
    """‖difference of y‖ over ‖y of the floating file‖."""
    with np.load(data) as stored:
        inputs = {"x": stored["x"]}
    exact, given = (OnnxRuntimeBackend(path).run(inputs)["y"].astype(np.float64) for path in (model, file))
    return float(np.linalg.norm(given - exact) / np.linalg.norm(exact))


def accuracy(file: Path, data: Path) -> float:
    """Share of rows whose label the file predicts."""
    with np.load(data) as stored:
        scores = OnnxRuntimeBackend(file).run({"x": stored["x"]})["y"]
        return float((scores.argmax(-1) == stored["labels"]).mean())
