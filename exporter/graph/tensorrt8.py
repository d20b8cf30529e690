"""Rewrites what TensorRT 8.x refuses, or parses without a word and computes wrongly.

It builds no weights in int8 (``convertMyelinWeightsToFp32``), only float32 ones behind a Q/DQ pair. Its Shape gives
the whole shape whatever ``start`` and ``end`` say, and its Constant reads ``value_int`` and ``value_ints`` as zeros.
All of it was seen with TensorRT 8.6.0, the last two in onnx-tensorrt's importers, release 8.6, too.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common

from attnexport.graph.half_rules import constant_of
from attnexport.graph.quantization import quantized_weight


def rewrite_for_tensorrt8(model: ir.Model) -> None:
    """Writes Shape of some axes with Slice, and integer constants as tensors, in place.

    Functions are left alone: TensorRT 8.x does not know them.
    """
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Shape" and {"start", "end"} & set(node.attributes):
            _slice_shape(node)
        if node.op_type == "Constant":
            _hold_tensor(node)


def widen_quantized_weights(model: ir.Model) -> int:
    """Puts float32 constants and a QuantizeLinear before each DequantizeLinear of an int8 constant, in place.

    The pair gives the same numbers: what was rounded once is rounded to itself.

    Returns:
        How many weights were rewritten.
    """
    nodes = [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if _dequantizes_constant(node)]
    for node in nodes:
        name = node.outputs[0].name or ""
        weight = quantized_weight(node)
        values = weight.values.astype(np.float32)
        source = ir.val(f"{name}_wide", const_value=ir.tensor(values, name=f"{name}_wide"))
        model.graph.register_initializer(source)
        quantized = ir.val(f"{name}_quantized_again", dtype=ir.DataType.INT8, shape=values.shape)
        axis = {"axis": node.attributes.get_int("axis", 1)}
        zero_point = node.inputs[2] if len(node.inputs) > 2 else None
        if zero_point is None:
            # QuantizeLinear without one gives uint8.
            zeros = ir.tensor(np.zeros(weight.grid.scale.shape, dtype=np.int8), name=f"{name}_zero")
            zero_point = ir.val(f"{name}_zero", const_value=zeros)
            model.graph.register_initializer(zero_point)
        operands = [source, node.inputs[1], zero_point]
        again = ir.node("QuantizeLinear", operands, axis, outputs=[quantized], name=f"{name}_QuantizeLinear")
        assert node.graph is not None
        node.graph.insert_before(node, again)
        node.replace_input_with(0, quantized)
    ir.passes.common.RemoveUnusedNodesPass()(model)
    return len(nodes)


def _dequantizes_constant(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    return (
        node.op_type == "DequantizeLinear"
        and source is not None
        and source.dtype == ir.DataType.INT8
        and constant_of(source) is not None
    )


def _slice_shape(node: ir.Node) -> None:
    tape = ir.tape.Tape()
    whole = tape.op("Shape", list(node.inputs))
    limits = node.attributes.get_int("start", 0), node.attributes.get_int("end", sys.maxsize)
    bounds = [tape.op("Constant", [], {"value": ir.tensor(np.array([limit], dtype=np.int64))}) for limit in limits]
    part = tape.op("Slice", [whole, *bounds])
    for position, added in enumerate(tape.nodes):
        added.name = f"{node.name}_{position}"
        added.outputs[0].name = f"{node.outputs[0].name}_part_{position}"
        added.metadata_props.update(node.metadata_props)
    owner = node.graph
    assert isinstance(owner, ir.Graph)
    ir.convenience.replace_nodes_and_values(owner, node, [node], tape.nodes, [node.outputs[0]], [part])


def _hold_tensor(node: ir.Node) -> None:
    """Puts integers into the attribute ``value``."""
    for name in ("value_int", "value_ints"):
        integers = node.attributes.pop(name, None)
        if integers is not None:
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.array(integers.value, dtype=np.int64)))
