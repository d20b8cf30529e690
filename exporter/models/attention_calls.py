"""Hands out the attention calls of a model while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch import Tensor

from attnexport.models.interpreting import Call
from attnexport.models.model import Model
from attnexport.models.program import module_path
from attnexport.variants import Variant, variant_of_torch_op

SOFTMAX = torch.ops.aten.scaled_dot_product_attention.default
"""Torch's own softmax attention."""


@dataclass(frozen=True)
class OperatorCall:
    """An attention operator and what it was called with.

    Attributes:
        layer: path of the calling module, as ``blocks.3.attention``, or the node's name.
        variant: whose operator it is, None for torch's softmax attention.
        args, kwargs: what it was called with.
    """

    layer: str
    variant: Variant | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def is_attention(node: torch.fx.Node) -> bool:
    """Whether a node calls an operator of attnexport or torch's softmax attention."""
    return node.target is SOFTMAX or variant_of_torch_op(node.target) is not None


def visit_calls(model: Model, tensors: Sequence[Tensor], visit: Callable[[OperatorCall], None]) -> None:
    """Runs the model once and calls ``visit`` for every attention call, in order."""

    def see(call: Call) -> None:
        if is_attention(call.node):
            layer = module_path(call.node) or call.node.name
            visit(OperatorCall(layer, variant_of_torch_op(call.node.target), call.args, call.kwargs))

    model.run(tensors, visit=see)
