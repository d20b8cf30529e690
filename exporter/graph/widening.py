"""Rewrites a bfloat16 model so that a runtime without bfloat16 kernels computes the same.

A bfloat16 operator computes its inputs' exact values in more digits and rounds its result once. That is what the
rewritten model does in so many words: every tensor is float32, and every result goes to bfloat16 and back.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common

NARROW = ir.DataType.BFLOAT16
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")


def holds_bfloat16(model: ir.Model) -> bool:
    """Whether some input, weight or result of the model, or of a function in it, is bfloat16."""
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    if any(value.dtype == NARROW for value in values):
        return True
    graphs = (model.graph, *(function.graph for function in model.functions.values()))
    return any(_names_narrow(node) for graph in graphs for node in ir.traversal.RecursiveGraphIterator(graph))


def _names_narrow(node: ir.Node) -> bool:
    return any(value.dtype == NARROW for value in node.outputs) or any(
        _is_narrow_type(attribute) or _is_narrow_tensor(attribute) for attribute in node.attributes.values()
    )


def widen_bfloat16(model: ir.Model) -> None:
    """Makes every bfloat16 tensor float32 and rounds every result that was bfloat16, in place.

    Functions are inlined. Inputs and tensors of the main graph keep their names; the rounded result has its tensor's.

    Args:
        model: with its weights, or with external data that can be read.
    """
    ir.passes.common.InlinePass()(model)
    ir.passes.common.ShapeInferencePass()(model)
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    rounded = [value for node in nodes for value in node.outputs if value.dtype == NARROW]
    for node in nodes:
        _widen_attributes(node)
    for graph in {model.graph, *(node.graph for node in nodes)}:
        assert isinstance(graph, ir.Graph)
        for value in (*graph.inputs, *graph.initializers.values()):
            _widen_value(value)
    for value in rounded:
        _round(value)


def _widen_attributes(node: ir.Node) -> None:
    for attribute in list(node.attributes.values()):
        if _is_narrow_type(attribute):
            node.attributes[attribute.name] = ir.AttrInt64(attribute.name, int(ir.DataType.FLOAT))
        elif _is_narrow_tensor(attribute):
            node.attributes[attribute.name] = ir.AttrTensor(attribute.name, _wide(attribute.as_tensor()))


def _is_narrow_type(attribute: ir.Attr) -> bool:
    return attribute.name in _TYPE_ATTRIBUTES and attribute.value == int(NARROW)


def _is_narrow_tensor(attribute: ir.Attr) -> bool:
    return attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == NARROW


def _wide(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)


def _widen_value(value: ir.Value) -> None:
    if value.dtype == NARROW:
        value.dtype = ir.DataType.FLOAT
        if value.const_value is not None:
            value.const_value = _wide(value.const_value)


def _round(value: ir.Value) -> None:
    """Puts the rounded value in place of a result, under its name."""
    producer = value.producer()
    assert producer is not None
    assert producer.graph is not None
    tape = ir.tape.Tape()
    narrow = tape.op("Cast", [value], {"to": int(NARROW)})
    rounded = tape.op("Cast", [narrow], {"to": int(ir.DataType.FLOAT)})
    value.dtype = rounded.dtype = ir.DataType.FLOAT
    narrow.dtype, narrow.shape, rounded.shape = NARROW, value.shape, value.shape
    name, value.name = value.name, f"{value.name}_exact"
    narrow.name, rounded.name = f"{name}_bfloat16", name
    ir.convenience.replace_all_uses_with(value, rounded, replace_graph_outputs=True)
    narrow.producer().replace_input_with(0, value)  # type: ignore[union-attr]
    producer.graph.insert_after(producer, tape.nodes)
