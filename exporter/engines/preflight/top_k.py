"""TopK with more elements than TensorRT selects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from attnexport.engines.draft import Draft
from attnexport.errors import InputError
from attnexport.graph.nodes import call_site
from attnexport.messages import option
from attnexport.variants.spec import Variant

LARGEST_K = 3840
"""The most elements that TensorRT's TopK selects, in every release so far (NVIDIA/TensorRT issue 4244)."""

_WANTS_CONSTANT = (8, 5)
_SAME = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"}


def check_top_k(draft: Draft) -> None:
    """Refuses a TopK that selects more than TensorRT can at the largest shapes, or whose k the oldest release does not
    take, in the graph or in the body of an attention node that is no plugin.

    Raises:
        InputError: naming the node and k.
    """
    for node in ir.traversal.RecursiveGraphIterator(draft.model.graph):
        if node.op_type == "TopK":
            _check(draft, f"node {node.name}", _Scope({}, None).bound(_k_of(node)), "")
            _check_constant(draft, node)
    if draft.library is not None:
        return
    for node, variant in draft.attention_nodes:
        function = draft.model.functions.get(node.op_identifier())
        scope = _Scope({name: item.value for name, item in node.attributes.items()}, _keys(draft, node, variant))
        for inner in ir.traversal.RecursiveGraphIterator(function) if function is not None else ():
            if inner.op_type == "TopK":
                where = f"node {node.name} ({node.op_type}), in its body"
                _check(draft, where, scope.bound(_k_of(inner)), "; the plugin library has no such limit")


@dataclass(frozen=True)
class _Scope:
    """What is known where a TopK stands.

    Attributes:
        attributes: of the node whose body it is in.
        keys: how many keys that node has at most, or None.
    """

    attributes: Mapping[str, object]
    keys: int | None

    def bound(self, value: ir.Value | None) -> int | None:
        """How large k can become, or None where that is not known."""
        if value is None:
            return None
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is not None:
            return int(tensor.numpy().max(initial=0))
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "Constant":
            number = self.attributes.get(next(iter(node.attributes.values())).ref_attr_name or "")
            return number if isinstance(number, int) else None
        if node.op_type in _SAME:
            return self.bound(node.inputs[0])
        if node.op_type == "Min":
            # What is not known is the number of keys: bodies select no more than there are.
            bounds = [self.bound(operand) for operand in node.inputs]
            known = [bound for bound in (*bounds, self.keys) if bound is not None]
            return None if self.keys is None and None in bounds else min(known)
        return None


def _k_of(node: ir.Node) -> ir.Value | None:
    """A TopK's second input, which it lacks before opset 10."""
    return node.inputs[1] if len(node.inputs) > 1 else None


def _check(draft: Draft, where: str, k: int | None, advice: str) -> None:
    if k is not None and k > LARGEST_K:
        raise InputError(f"{draft.path}: {where}: TopK selects {k} elements, TensorRT at most {LARGEST_K}{advice}")


def _check_constant(draft: Draft, node: ir.Node) -> None:
    k = _k_of(node)
    if draft.limits.release == _WANTS_CONSTANT and k is not None and ir.convenience.get_const_tensor(k) is None:
        raise InputError(
            f"{draft.path}: node {node.name}: TopK computes how many it selects, {draft.limits.product} wants a "
            f"constant: convert with {option('--nodes', 'plugin')} and give the plugin library"
        )


def _keys(draft: Draft, node: ir.Node, variant: Variant) -> int | None:
    """How many keys an attention node has at the largest shapes, or None where its file does not say."""
    size = call_site(variant, node).dim("v", 2)
    return draft.largest_sizes.get(size) if isinstance(size, str) else size
