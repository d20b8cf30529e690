"""Q/DQ nodes of an ONNX file: what they round to, which weights went through them, and the graph without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common
from numpy.typing import NDArray

from attnexport.errors import InputError
from attnexport.graph.half_rules import constant_of

_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
_INTEGER_OPERATORS = {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"}
_BLOCK = 0
"""Value of the attribute block_size where scales are not given by blocks."""


@dataclass(frozen=True)
class Grid:
    """The values that a Q/DQ pair can give: scale · (integer − zero point), or scale · small float.

    Attributes:
        scale: one, one a slice of ``axis``, or one a block along it.
        zero_point: of scale's shape.
        dtype: of the quantized values, as INT8 or FLOAT8E4M3FN.
        axis: along which scales differ.
        block: values along ``axis`` that share a scale; 0 where scales are not given by blocks.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any]
    dtype: ir.DataType
    axis: int
    block: int

    def rounded(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The nearest values of the grid, ties to even, in float64."""
        scale, zero = self._spread(self.scale, values), self._spread(self.zero_point, values)
        return scale * (self._nearest(values.astype(np.float64) / scale, zero) - zero)

    def values_of(self, quantized: NDArray[Any]) -> NDArray[np.float64]:
        """What quantized values stand for, in float64."""
        scale, zero = self._spread(self.scale, quantized), self._spread(self.zero_point, quantized)
        return scale * (quantized.astype(np.float64) - zero)

    def _nearest(self, values: NDArray[np.float64], zero: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantized values of what was divided by the scale."""
        numpy_dtype = self.dtype.numpy()
        if self.dtype.is_integer():
            limits = ml_dtypes.iinfo(numpy_dtype)
            return np.clip(np.rint(values) + zero, int(limits.min), int(limits.max))
        largest = float(ml_dtypes.finfo(numpy_dtype).max)
        return np.clip(values, -largest, largest).astype(numpy_dtype).astype(np.float64)

    def _spread(self, parameter: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
        """Scales or zero points in a shape that broadcasts with the values."""
        wide = parameter.astype(np.float64)
        if wide.size == 1:
            return wide.reshape(())
        if self.block != _BLOCK:
            repeated = np.repeat(wide, self.block, axis=self.axis)
            return np.take(repeated, range(values.shape[self.axis]), axis=self.axis)
        sizes = [1] * values.ndim
        sizes[self.axis] = -1
        return wide.reshape(sizes)


@dataclass(frozen=True)
class QuantizedWeight:
    """A constant that goes through Q/DQ.

    Attributes:
        name: of the tensor that DequantizeLinear gives.
        values: what the file computes with, in float64.
        grid: what it can hold.
    """

    name: str
    values: NDArray[np.float64]
    grid: Grid


def is_quantized(model: ir.Model) -> bool:
    """Whether the model, or a function in it, holds Q/DQ nodes."""
    return any(node.op_type in _QUANTIZERS for node in _nodes(model))


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of the graph and its functions, with those of subgraphs."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        yield from ir.traversal.RecursiveGraphIterator(graph)


def quantized_precision(model: ir.Model) -> str | None:
    """The type that Q/DQ nodes round to, as int8 or fp8, with ``-weights`` behind it where activations stay floating.

    The narrowest one of several; None for a model without Q/DQ nodes.
    """
    activations: list[ir.DataType] = []
    weights: list[ir.DataType] = []
    for node in _dequantizers(model):
        (weights if _is_weight(node) else activations).append(_grid_dtype(node))
    found = activations or weights
    if not found:
        return None
    narrowest = min(found, key=lambda dtype: dtype.bitwidth)
    kind = "int" if narrowest.is_integer() else "fp"
    return f"{kind}{narrowest.bitwidth}{'' if activations else '-weights'}"


def check_is_qdq(model: ir.Model, name: str) -> None:
    """Refuses a file that computes in integers by other operators than Q/DQ nodes.

    Raises:
        InputError: naming the operator.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type in _INTEGER_OPERATORS or node.op_type.startswith("QLinear"):
            raise InputError(
                f"{name}: node {node.name} ({node.op_type}): expected Q/DQ nodes, which say what is rounded, given an "
                "integer operator: quantize in the QDQ format"
            )


def quantized_weights(model: ir.Model) -> tuple[QuantizedWeight, ...]:
    """The constants that go through Q/DQ, in the file's order."""
    return tuple(quantized_weight(node) for node in _dequantizers(model) if _is_weight(node))


def replace_weights(model: ir.Model, values: Mapping[str, NDArray[Any]]) -> None:
    """Puts floating constants in place of quantized weights, in place.

    Args:
        model: with its weights.
        values: by the name of what DequantizeLinear gives.
    """
    for node in list(_dequantizers(model)):
        output = node.outputs[0]
        given = values.get(output.name or "")
        if given is not None and _is_weight(node):
            _replace(model, node, _constant(model, output, given))
    ir.passes.common.RemoveUnusedNodesPass()(model)


def remove_quantizers(model: ir.Model) -> None:
    """Removes the Q/DQ pairs of activations, in place: what was rounded goes on as it was.

    Behind a node, a pair whose least value is zero leaves a Relu: quantizers take one out where such a pair cuts off
    all that is negative.
    """
    for node in list(_dequantizers(model)):
        if not _is_weight(node):
            quantizer = _quantizer(node)
            assert quantizer is not None
            source = quantizer.inputs[0]
            assert source is not None
            _replace(model, node, _relu(quantizer, source) if _ends_at_zero(node, source) else source)
    ir.passes.common.RemoveUnusedNodesPass()(model)


def _ends_at_zero(node: ir.Node, source: ir.Value) -> bool:
    grid = _grid(node)
    if source.producer() is None or not grid.dtype.is_integer():
        return False
    return bool((grid.zero_point == int(ml_dtypes.iinfo(grid.dtype.numpy()).min)).all())


def _relu(quantizer: ir.Node, source: ir.Value) -> ir.Value:
    value = ir.Value(name=f"{source.name}_cut_off", type=source.type, shape=source.shape)
    assert quantizer.graph is not None
    quantizer.graph.insert_before(quantizer, ir.node("Relu", [source], outputs=[value]))
    return value


def _dequantizers(model: ir.Model) -> Iterator[ir.Node]:
    """DequantizeLinear nodes behind a QuantizeLinear or a constant."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type == "DequantizeLinear" and (_is_weight(node) or _quantizer(node) is not None):
            yield node


def _quantizer(node: ir.Node) -> ir.Node | None:
    value = node.inputs[0]
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == "QuantizeLinear" else None


def _is_weight(node: ir.Node) -> bool:
    quantizer = _quantizer(node)
    value = node.inputs[0] if quantizer is None else quantizer.inputs[0]
    return value is not None and _is_constant(value)


def _is_constant(value: ir.Value) -> bool:
    """Whether a value is given, without reading it."""
    producer = value.producer()
    return value.is_initializer() if producer is None else producer.op_type == "Constant"


def quantized_weight(node: ir.Node) -> QuantizedWeight:
    """What a DequantizeLinear node gives of a constant.

    Raises:
        InputError: scales that are computed.
    """
    quantizer, grid = _quantizer(node), _grid(node)
    source = node.inputs[0] if quantizer is None else quantizer.inputs[0]
    assert source is not None
    held = constant_of(source)
    assert held is not None
    values = grid.values_of(held) if quantizer is None else grid.rounded(held)
    return QuantizedWeight(node.outputs[0].name or "", values, grid)


def _grid(node: ir.Node) -> Grid:
    """What a DequantizeLinear node gives values of.

    Raises:
        InputError: scales that are computed.
    """
    scale = constant_of(node.inputs[1])  # type: ignore[arg-type]
    zero = _zero_point(node)
    zero_point = None if zero is None else constant_of(zero)
    if scale is None or (zero is not None and zero_point is None):
        raise InputError(f"node {node.name} ({node.op_type}): expected constant scales and zero points, given computed")
    return Grid(
        scale,
        np.zeros(scale.shape) if zero_point is None else zero_point,
        _grid_dtype(node),
        node.attributes.get_int("axis", 1),
        node.attributes.get_int("block_size", _BLOCK),
    )


def _zero_point(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _grid_dtype(node: ir.Node) -> ir.DataType:
    typed = _zero_point(node) or node.inputs[0]
    if typed is None or typed.dtype is None:
        raise InputError(f"node {node.name} ({node.op_type}): expected a known type of its input, given none")
    return typed.dtype


def _constant(model: ir.Model, like: ir.Value, values: NDArray[Any]) -> ir.Value:
    """A floating initializer of the type of a tensor, or of float32 where that is not known."""
    dtype = like.dtype or ir.DataType.FLOAT
    name = f"{like.name}_value"
    tensor = ir.tensor(np.ascontiguousarray(values).astype(dtype.numpy()), name=name)
    value = ir.val(name, dtype=dtype, shape=values.shape, const_value=tensor)
    model.graph.register_initializer(value)
    return value


def _replace(model: ir.Model, node: ir.Node, value: ir.Value) -> None:
    """Gives everything that reads a node's output another value; an output of the graph keeps its name."""
    output = node.outputs[0]
    if output.is_graph_output():
        node.op_type, node.domain = "Identity", ""
        node.attributes.clear()
        node.resize_inputs(1)
        node.replace_input_with(0, value)
    else:
        ir.convenience.replace_all_uses_with(output, value)
