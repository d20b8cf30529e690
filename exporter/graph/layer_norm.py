"""Writes LayerNormalization out for parsers that do not know it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from attnexport.errors import ConversionError


def expand_layer_norms(model: ir.Model) -> None:
    """Replaces LayerNormalization over the last axis by means and elementwise operators, in place, for opset 17.

    Raises:
        ConversionError: a normalisation over more axes, or one that returns its statistics.
    """
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx") or node.op_type != "LayerNormalization":
            continue
        if node.attributes.get_int("axis", -1) != -1 or any(output.uses() for output in node.outputs[1:]):
            raise ConversionError(f"node {node.name}: the target only takes LayerNormalization over the last axis")
        _expand(model.graph, node)


def _expand(graph: ir.Graph, node: ir.Node) -> None:
    value, scale = node.inputs[0], node.inputs[1]
    assert value is not None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    tape = ir.tape.Tape()
    eps = np.asarray(node.attributes.get_float("epsilon", 1e-5), dtype=dtype)
    mean = tape.op("ReduceMean", [value], {"axes": [-1], "keepdims": 1})
    centred = tape.op("Sub", [value, mean])
    square = tape.op("Mul", [centred, centred])
    variance = tape.op("ReduceMean", [square], {"axes": [-1], "keepdims": 1})
    stable = tape.op("Add", [variance, tape.op("Constant", [], {"value": ir.tensor(eps)})])
    out = tape.op("Mul", [tape.op("Div", [centred, tape.op("Sqrt", [stable])]), scale])
    if bias is not None:
        out = tape.op("Add", [out, bias])
    for position, added in enumerate(tape.nodes):
        added.name = f"{node.name}_{position}"
        added.outputs[0].name = f"{node.outputs[0].name}_written_out_{position}"
    ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, [node.outputs[0]], [out])
