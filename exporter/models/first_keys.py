"""Which inputs of a model say where each sample's keys begin, and how many keys there are at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.fx
from torch import Tensor

from attnexport.models.attention_calls import OperatorCall, visit_calls
from attnexport.models.model import Model
from attnexport.models.torch_graphs import arguments_of
from attnexport.variants.registry import variant_of_torch_op

_START = "kv_start"

_CASTS = ("to", "_to_copy", "clone", "alias", "contiguous")
"""Operators of torch behind which the same numbers are."""


def first_key_inputs(model: Model) -> tuple[int, ...]:
    """Places among the model's inputs of those that reach an attention operator as kv_start, cast or not."""
    reached = set(_placeholders(model.program.graph))
    return tuple(place for place, spec in enumerate(model.inputs) if spec.placeholder in reached)


def fewest_keys(model: Model, tensors: Sequence[Tensor]) -> int:
    """Keys M of the attention call with a kv_start that has the fewest, when the model runs on these inputs.

    Raises:
        Exception: what PyTorch raises when it cannot.
    """
    found: list[int] = []

    def see(call: OperatorCall) -> None:
        if call.arguments.get(_START) is not None:
            found.append(call.arguments["v"].shape[2])

    visit_calls(model, tensors, see)
    return min(found)


def _placeholders(graph: torch.fx.Graph) -> Iterator[str]:
    for node in graph.nodes:
        given = arguments_of(node).get(_START) if variant_of_torch_op(node.target) is not None else None
        while isinstance(given, torch.fx.Node) and getattr(given.target, "_opname", None) in _CASTS:
            given = given.args[0]
        if isinstance(given, torch.fx.Node) and given.op == "placeholder":
            yield given.name
