"""torch's graphs of a program, and what their nodes are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.fx


def all_graphs(module: torch.fx.GraphModule) -> Iterator[torch.fx.Graph]:
    """The graph of a module and those inside it, as torch.cond has them."""
    yield from (part.graph for part in module.modules() if isinstance(part, torch.fx.GraphModule))


def arguments_of(node: torch.fx.Node) -> dict[str, Any]:
    """What a node gives to its operator, by the names of the schema, defaults included.

    Args:
        node: a call of an ``OpOverload``.
    """
    assert isinstance(node.target, torch._ops.OpOverload)
    schema = node.target._schema.arguments
    defaults = {argument.name: argument.default_value for argument in schema}
    placed = dict(zip((argument.name for argument in schema), node.args, strict=False))
    return {**defaults, **placed, **node.kwargs}
