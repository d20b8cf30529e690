"""Hands out the attention calls of a model while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.fx
from torch import Tensor

from attnexport.models.interpreting import Call
from attnexport.models.model import Model
from attnexport.models.program import module_path
from attnexport.variants.registry import attention_of_torch_op
from attnexport.variants.spec import Attention


@dataclass(frozen=True)
class OperatorCall:
    """An attention operator and what it was called with, on (B, H, N, D).

    Attributes:
        layer: path of the calling module, as ``blocks.3.attention``, or the node's name.
        attention: whose operator it is.
        arguments: what it was called with, by name.
    """

    layer: str
    attention: Attention
    arguments: Mapping[str, Any]


def is_attention(node: torch.fx.Node) -> bool:
    """Whether a node calls an operator of attnexport or torch's softmax attention."""
    return attention_of_torch_op(node.target) is not None


def visit_calls(model: Model, tensors: Sequence[Tensor], visit: Callable[[OperatorCall], None]) -> None:
    """Runs the model once and calls ``visit`` for every attention call, in order.

    Seen are the operators of attnexport and torch's scaled_dot_product_attention on (B, H, N, D).
    """

    def see(call: Call) -> None:
        attention = attention_of_torch_op(call.node.target)
        if attention is None:
            return
        arguments = attention.bind(call.args, call.kwargs)
        if _has_heads(next(iter(arguments.values()))):
            visit(OperatorCall(module_path(call.node) or call.node.name, attention, arguments))

    model.run(tensors, visit=see)


def _has_heads(query: Tensor | Sequence[Tensor]) -> bool:
    return not isinstance(query, Tensor) or query.dim() == 4
