"""Lowers an opset 18 graph to opset 17, the last one that TensorRT 8.x parses."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from attnexport.errors import ConversionError

_REDUCTIONS = {
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
}
_NEW_IN_18 = {
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "CenterCropPad",
    "Col2Im",
    "GroupNormalization",
    "Mish",
}


def _refuse(node: ir.Node, why: str) -> ConversionError:
    return ConversionError(f"opset 17: node {node.name} ({node.op_type}) cannot be expressed, {why}")


def _lower_reduction(node: ir.Node) -> None:
    """Axes were an input from opset 18 on, an attribute before."""
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    keep_all = node.attributes.pop("noop_with_empty_axes", None)
    if axes is None:
        if keep_all is not None and keep_all.as_int():
            raise _refuse(node, "it reduces nothing")
        return
    if axes.const_value is None:
        raise _refuse(node, "its axes are not constant")
    node.attributes["axes"] = ir.AttrInt64s("axes", axes.const_value.numpy().tolist())
    node.resize_inputs(1)


def _lower_split(node: ir.Node) -> None:
    """num_outputs is new in opset 18; before, equal parts were the default."""
    parts = node.attributes.pop("num_outputs", None)
    if parts is None:
        return
    value = node.inputs[0]
    shape = value.shape if value is not None else None
    size = shape[node.attributes.get_int("axis", 0)] if shape is not None else None
    if not isinstance(size, int) or size % parts.as_int():
        raise _refuse(node, f"{parts.as_int()} parts of {size} are not equal")


def _lower_pad(node: ir.Node) -> None:
    """The axes input is new in opset 18."""
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise _refuse(node, "it pads chosen axes")
    node.resize_inputs(min(len(node.inputs), 3))


def _lower_scatter(node: ir.Node) -> None:
    """Reductions max and min are new in opset 18."""
    reduction = node.attributes.get_string("reduction", "none")
    if reduction in ("max", "min"):
        raise _refuse(node, f"it reduces by {reduction}")


def _lower_resize(node: ir.Node) -> None:
    """antialias, axes and keep_aspect_ratio_policy are new in opset 18."""
    for name, default in (("antialias", 0), ("axes", None), ("keep_aspect_ratio_policy", "stretch")):
        attribute = node.attributes.pop(name, None)
        if attribute is not None and attribute.value != default:
            raise _refuse(node, f"it uses {name}")


_LOWER: dict[str, Callable[[ir.Node], None]] = {
    **dict.fromkeys(_REDUCTIONS, _lower_reduction),
    "Split": _lower_split,
    "Pad": _lower_pad,
    "ScatterElements": _lower_scatter,
    "ScatterND": _lower_scatter,
    "Resize": _lower_resize,
}


def lower_to_opset17(model: ir.Model) -> None:
    """Rewrites an opset 18 model in place, before functions are attached.

    Raises:
        ConversionError: an operator that opset 17 does not have, naming the node.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type in _NEW_IN_18:
            raise _refuse(node, "the operator is new in opset 18")
        if node.op_type in _LOWER:
            _LOWER[node.op_type](node)
    model.opset_imports[""] = 17
