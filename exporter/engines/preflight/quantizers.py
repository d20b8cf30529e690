"""Q/DQ nodes of files that other tools wrote against what TensorRT quantizes: int8, fp8 and int4 about zero."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from attnexport.engines.draft import Draft
from attnexport.errors import InputError
from attnexport.graph.half_rules import constant_of
from attnexport.graph.placement import misplaced

_TAKEN = {
    ir.DataType.INT8: "int8",
    ir.DataType.FLOAT8E4M3FN: "float8e4m3fn",
    ir.DataType.INT4: "int4",
    ir.DataType.FLOAT4E2M1: "float4e2m1",
}
_PRODUCTS = ("MatMul", "Gemm", "Conv")
_OURS = "or by attnexport quantize"


def notes_on_placement(draft: Draft) -> list[str]:
    """Attention nodes whose kernels read what a tool rounded before them in a floating type all the same."""
    return [
        f"node {node.name} ({node.op_type}): {operand} goes through Q/DQ, which its plugin does not take: it is "
        f"rounded and read in {draft.precision_at(node)}"
        for node, operand in misplaced(draft.model)
    ]


def check_quantizers(draft: Draft) -> None:
    """Refuses Q/DQ nodes that TensorRT does not take, and those that it would read as something else: uint8 as int8,
    and blocks of another size than the file says.

    Source: importers of onnx-tensorrt 10.1, and TensorRT-RTX 1.7.1, tried.

    Raises:
        InputError: naming the node and the tensor.
    """
    places = (draft.model.graph, *(function.graph for function in draft.model.functions.values()))
    for node in (node for place in places for node in ir.traversal.RecursiveGraphIterator(place)):
        where = f"{draft.path}: node {node.name} ({node.op_type})"
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _check_type(where, node)
            _check_zero_point(where, node)
            _check_scale(where, node)
            _check_blocks(where, node)
        elif node.op_type in _PRODUCTS:
            _check_operands(where, node)


def _check_type(where: str, node: ir.Node) -> None:
    tensor, dtype = _quantized(node)
    if dtype is None or dtype in _TAKEN:
        return
    wanted = f"{where}: {tensor} is {dtype.name.lower()}: expected {', '.join(_TAKEN.values())}"
    if dtype == ir.DataType.INT32 and node.op_type == "DequantizeLinear":
        raise InputError(f"{wanted}; biases stay floating: quantize with QuantizeBias off, {_OURS}")
    raise InputError(f"{wanted}: quantize to QInt8, {_OURS}")


def _quantized(node: ir.Node) -> tuple[str, ir.DataType | None]:
    """The tensor that says what a node quantizes to or dequantizes, and its type; None where that is not known."""
    given, zero = _input(node, 0), _input(node, 2)
    if node.op_type == "DequantizeLinear" and given is not None and given.dtype is not None:
        return f"tensor {given.name}", given.dtype
    if zero is not None:
        return f"tensor {zero.name}", zero.dtype
    written = node.attributes.get_int("output_dtype", 0)
    if node.op_type == "DequantizeLinear":
        return "its input", None
    return f"tensor {node.outputs[0].name}", ir.DataType(written) if written else ir.DataType.UINT8


def _check_zero_point(where: str, node: ir.Node) -> None:
    zero = _input(node, 2)
    held = None if zero is None else constant_of(zero)
    if zero is not None and held is not None and held.astype(np.float32).any():
        raise InputError(
            f"{where}: tensor {zero.name}: expected zero points of 0, given {_first(held)}: quantize with "
            f"ActivationSymmetric and WeightSymmetric, {_OURS}"
        )


def _first(held: NDArray[np.generic]) -> str:
    values = held.astype(np.float32).ravel()
    return f"{values[values != 0][0]:g}"


def _check_scale(where: str, node: ir.Node) -> None:
    scale = _input(node, 1)
    held = None if scale is None else constant_of(scale)
    if scale is not None and held is not None and not (held.astype(np.float32) > 0).all():
        raise InputError(
            f"{where}: tensor {scale.name}: expected scales above 0, given {held.astype(np.float32).min()}"
        )


def _check_blocks(where: str, node: ir.Node) -> None:
    """TensorRT reads the size of a block off the number of scales, and passes over what the file says."""
    block = node.attributes.get_int("block_size", 0)
    value, scale = _input(node, 0), _input(node, 1)
    if not block or value is None or scale is None or value.shape is None or scale.shape is None:
        return
    axis = node.attributes.get_int("axis", 1)
    summed, blocks = value.shape[axis], scale.shape[axis]
    if isinstance(summed, int) and isinstance(blocks, int) and (block * blocks != summed or block == 1):
        raise InputError(
            f"{where}: tensor {scale.name}: expected equal blocks of two or more, given blocks of {block} along "
            f"{summed}: quantize with another size of block, {_OURS}"
        )


def _check_operands(where: str, node: ir.Node) -> None:
    """TensorRT multiplies 8-bit floats by nothing else, and says so in the words of its compiler."""
    types = [_dequantized_type(value) for value in node.inputs[:2]]
    if len(set(types)) == 2 and None not in types and ir.DataType.FLOAT8E4M3FN in types:
        given = " and ".join(_TAKEN[dtype] for dtype in types if dtype is not None)
        raise InputError(f"{where}: expected both operands in float8e4m3fn, given {given}")


def _dequantized_type(value: ir.Value | None) -> ir.DataType | None:
    producer = None if value is None else value.producer()
    if producer is None or producer.op_type != "DequantizeLinear":
        return None
    return _quantized(producer)[1]


def _input(node: ir.Node, position: int) -> ir.Value | None:
    return node.inputs[position] if position < len(node.inputs) else None
