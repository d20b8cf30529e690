"""Rewrites what TensorRT 8.x parses without a word and computes wrongly.

Its Shape gives the whole shape whatever ``start`` and ``end`` say, and its Constant reads ``value_int`` and
``value_ints`` as zeros (onnx-tensorrt's importers, release 8.6; seen with TensorRT 8.6.0).
"""

from __future__ import annotations

import sys

import numpy as np
import onnx_ir as ir


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
