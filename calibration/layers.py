"""The layers of an ONNX file that can be quantized: products of an activation and a constant weight."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from attnexport.errors import InputError
from attnexport.graph.half_rules import constant_of
from attnexport.messages import count

_FLOATING = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
"""What QuantizeLinear takes."""
_SCOPES = "pkg.torch.onnx.name_scopes"
_OUTPUT_AXES = {"MatMul": -1, "Gemm": 1, "Conv": 0}


@dataclass(frozen=True)
class Layer:
    """A product with a weight.

    Attributes:
        name: of the module that it was exported from, or of its node.
        node: MatMul, Gemm or Conv.
        activation: what is multiplied.
        weight: the constant.
        output_axis: of the weight, along which outputs lie and scales may differ; not negative.
    """

    name: str
    node: ir.Node
    activation: ir.Value
    weight: ir.Value
    output_axis: int

    @property
    def input_axis(self) -> int:
        """Of the weight, along which products are summed."""
        if self.node.op_type == "Conv":
            return 1
        return 1 - self.output_axis if len(self.weight_shape) == 2 else len(self.weight_shape) - 2

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Sizes of the weight."""
        assert self.weight.shape is not None
        return self.weight.shape.numpy()

    @property
    def parameters(self) -> int:
        """How many numbers the weight holds."""
        return math.prod(self.weight_shape)


def layers_of(model: ir.Model) -> Iterator[Layer]:
    """The layers of the main graph in order; what stands in functions belongs to attention and is left alone."""
    for node in model.graph:
        if node.domain not in ("", "ai.onnx") or node.op_type not in _OUTPUT_AXES or len(node.inputs) < 2:
            continue
        activation, weight = node.inputs[0], node.inputs[1]
        if activation is None or weight is None or weight.dtype not in _FLOATING or constant_of(weight) is None:
            continue
        if activation.producer() is None and activation.is_initializer():
            continue
        if weight.shape is None or len(weight.shape) < 2:
            continue
        yield Layer(_name_of(node), node, activation, weight, _output_axis(node, weight))


def all_layers(path: Path, model: ir.Model) -> list[Layer]:
    """The layers of a file that has some.

    Raises:
        InputError: a file without, an activation whose type the file does not say, or weights that are not finite.
    """
    layers = list(layers_of(model))
    if not layers:
        raise InputError(f"{path}: expected MatMul, Gemm or Conv nodes with constant weights to quantize, given none")
    for layer in layers:
        _check(path, layer)
    return layers


def _check(path: Path, layer: Layer) -> None:
    for value in (layer.activation, layer.node.outputs[0]):
        if value.dtype is None:
            raise InputError(f"{path}: layer {layer.name}: tensor {value.name}: expected a type, given none")
    held = constant_of(layer.weight)
    assert held is not None
    others = held.size - int(np.isfinite(held.astype(np.float32)).sum())
    if others:
        raise InputError(f"{path}: layer {layer.name}: expected finite weights, given {count(others, 'other')}")


def _name_of(node: ir.Node) -> str:
    """The module that the node was exported from, as ``blocks.0.mlp.2``, else the node's own name."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, ""))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return node.name or ""
    known = isinstance(scopes, list) and len(scopes) > 1 and isinstance(scopes[-2], str)
    return scopes[-2] if known and scopes[-2] else node.name or ""


def _output_axis(node: ir.Node, weight: ir.Value) -> int:
    axis = _OUTPUT_AXES[node.op_type]
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1:
        return 0
    assert weight.shape is not None
    return axis % len(weight.shape)
