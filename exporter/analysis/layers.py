"""Finds the attention calls of a program and hands their weights and values to a visitor while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from attnexport.models.attention_calls import OperatorCall, visit_calls
from attnexport.models.model import Model


@dataclass(frozen=True)
class AttentionCall:
    """One attention call of one run.

    Attributes:
        layer: path of the calling module, as ``blocks.3.attention``, or the node's name.
        operator: what computed it.
        weights: (B, H, N, M), rows sum to one for most variants.
        v: values (B, Hkv, M, Dv).
        visible: boolean, broadcastable to weights: the keys that a row sees.
    """

    layer: str
    operator: str
    weights: Tensor
    v: Tensor
    visible: Tensor


def visit_attention(model: Model, tensors: Sequence[Tensor], visit: Callable[[AttentionCall], None]) -> None:
    """Runs the model once and calls ``visit`` for every attention call that visit_calls sees, in order."""

    def visit_operator(call: OperatorCall) -> None:
        rows = call.attention.rows(**call.arguments)
        visit(AttentionCall(call.layer, call.attention.title, rows.dense(), rows.v[:, :, 0], rows.seen()))

    visit_calls(model, tensors, visit_operator)
