"""Layers that compute in half between casts, in a file that else computes in more digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common
from numpy.typing import NDArray

_PRODUCTS = ("MatMul", "Gemm", "Conv")
_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


@dataclass(frozen=True)
class HalfLayer:
    """A product whose operands are cast to half before it, and whose result is cast back.

    Attributes:
        node: the product.
        constants: its constant operands, in half.
        wide: the type that is cast from, and back to.
    """

    node: ir.Node
    constants: tuple[ir.Value, ...]
    wide: ir.DataType


def half_layers(model: ir.Model) -> Iterator[HalfLayer]:
    """The layers of the main graph that compute in half alone, in order."""
    for node in model.graph:
        if node.op_type in _PRODUCTS and node.domain in ("", "ai.onnx"):
            constants = tuple(
                value for value in node.inputs if value is not None and value.dtype in _HALVES and _held(value)
            )
            wide = _type_around(node)
            if constants and wide is not None:
                yield HalfLayer(node, constants, wide)


def widen_half_layers(model: ir.Model, values: Mapping[str, NDArray[Any]]) -> None:
    """Has these layers compute in the type around them, in place.

    Args:
        model: with its weights.
        values: what their constants are then, by name.
    """
    for layer in list(half_layers(model)):
        node = layer.node
        for position, value in enumerate(node.inputs):
            if value in layer.constants:
                node.replace_input_with(position, _constant(model, value, values[value.name or ""], layer.wide))
            elif value is not None:
                cast = value.producer()
                assert cast is not None
                node.replace_input_with(position, cast.inputs[0])
        output = node.outputs[0]
        for back in list(output.consumers()):
            _take_place_of(output, back)
        output.dtype = layer.wide
    ir.passes.common.RemoveUnusedNodesPass()(model)


def round_half_layers(model: ir.Model) -> None:
    """Has these layers compute in the type around them, with operands and results that went to half and back, in place.

    That is what a processor with products of half does, which sums in more digits, and what ONNX Runtime's CPU leaves
    out: it has no such kernels, computes in float32 and drops the casts.
    """
    for layer in list(half_layers(model)):
        node = layer.node
        narrow = node.outputs[0].dtype
        assert narrow is not None
        for position, value in enumerate(node.inputs):
            if value in layer.constants:
                held = ir.convenience.get_const_tensor(value)
                assert held is not None
                node.replace_input_with(position, _constant(model, value, held.numpy(), layer.wide))
            elif value is not None:
                node.replace_input_with(position, _between(model, value, node, layer.wide))
        output = node.outputs[0]
        readers = list(output.uses())
        output.dtype = layer.wide
        rounded = ir.val(f"{output.name}_rounded", dtype=narrow, shape=output.shape)
        model.graph.insert_after(node, ir.node("Cast", [output], {"to": int(narrow)}, outputs=[rounded]))
        for reader, position in readers:
            reader.replace_input_with(position, rounded)
    ir.passes.common.RemoveUnusedNodesPass()(model)


def _between(model: ir.Model, value: ir.Value, before: ir.Node, dtype: ir.DataType) -> ir.Value:
    wide = ir.val(f"{value.name}_for_{before.outputs[0].name}", dtype=dtype, shape=value.shape)
    model.graph.insert_before(before, ir.node("Cast", [value], {"to": int(dtype)}, outputs=[wide]))
    return wide


def _held(value: ir.Value) -> bool:
    return ir.convenience.get_const_tensor(value) is not None


def _type_around(node: ir.Node) -> ir.DataType | None:
    """The type that its operands are cast from and its result is cast back to; None where they are not."""
    operands = [value for value in node.inputs if value is not None and not _held(value)]
    casts = [value.producer() for value in operands]
    back = list(node.outputs[0].consumers())
    if not casts or not back or not all(cast is not None and cast.op_type == "Cast" for cast in (*casts, *back)):
        return None
    types = {ir.DataType(cast.attributes.get_int("to", 0)) for cast in back}
    halves = {ir.DataType(cast.attributes.get_int("to", 0)) for cast in casts if cast is not None}
    if len(types) != 1 or not halves <= set(_HALVES) or types & set(_HALVES) or node.outputs[0].is_graph_output():
        return None
    return types.pop()


def _constant(model: ir.Model, like: ir.Value, values: NDArray[Any], dtype: ir.DataType) -> ir.Value:
    name = f"{like.name}_widened"
    held = model.graph.initializers.get(name)
    if held is not None:
        return held
    tensor = ir.Tensor(np.asarray(values, order="C").astype(dtype.numpy()), name=name)
    value = ir.val(name, const_value=tensor)
    model.graph.register_initializer(value)
    return value


def _take_place_of(value: ir.Value, cast: ir.Node) -> None:
    """Gives what reads a cast its input; an output of the graph keeps its name."""
    output = cast.outputs[0]
    if output.is_graph_output():
        cast.op_type = "Identity"
        cast.attributes.clear()
    else:
        ir.convenience.replace_all_uses_with(output, value)
