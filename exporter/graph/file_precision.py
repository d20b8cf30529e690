"""Which precision an ONNX file holds."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

import onnx_ir as ir

from attnexport.graph.attention_nodes import attention_nodes
from attnexport.graph.half_layers import half_layers
from attnexport.graph.quantization import is_quantized, quantized_precision
from attnexport.models.precision_names import HeldPrecision, counted, held_precision

NAMES = {
    ir.DataType.DOUBLE: "fp64",
    ir.DataType.FLOAT: "fp32",
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
}


def precision_name(model: ir.Model) -> str:
    """What a file computes in: the type that its Q/DQ nodes round to, or its floating precision."""
    return quantized_precision(model) or precision_of(model)


def precision_of(model: ir.Model) -> str:
    """The floating precision of a file: fp64, fp32, fp16 or bf16."""
    return found_precision(model).name


def found_precision(model: ir.Model) -> HeldPrecision:
    """The floating precision of a file by the rule for programs, and what in the file says so.

    Where the other weights are quantized, those of layers between casts to half and back say nothing of the rest.
    """
    apart = {value for layer in half_layers(model) for value in layer.constants} if is_quantized(model) else set()
    return held_precision(
        attention_precisions(attention_nodes(model.graph)),
        counted((_name(tensor.dtype), tensor.size) for tensor in _weights(model, apart)),
        counted((_name(value.dtype), 1) for value in model.graph.inputs),
    )


def attention_precisions(nodes: Iterable[ir.Node]) -> set[str]:
    """What attention nodes give, of those whose types are known."""
    names = (_name(value.dtype) for node in nodes for value in node.outputs)
    return {name for name in names if name is not None}


def _weights(model: ir.Model, apart: Container[ir.Value]) -> Iterator[ir.TensorProtocol]:
    """The initializers but those apart, and what nodes hold as constants."""
    for value in model.graph.initializers.values():
        if value.const_value is not None and value not in apart:
            yield value.const_value
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        held = node.attributes.get("value")
        if node.op_type == "Constant" and held is not None and held.type == ir.AttributeType.TENSOR:
            yield held.as_tensor()


def _name(dtype: ir.DataType | None) -> str | None:
    return None if dtype is None else NAMES.get(dtype)
