"""Finds the attention calls of a program and hands their weights and values to a visitor while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnexport.models.attention_calls import OperatorCall, visit_calls
from attnexport.models.model import Model
from attnexport.variants.dense import masked_softmax
from attnexport.variants.visibility import visible_mask


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


def _softmax_weights(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weights of torch's own softmax attention, and which keys each row sees."""
    if enable_gqa:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = q.float() @ k.float().transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    visible = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if is_causal:
        visible = visible.tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        visible = visible & attn_mask
    elif attn_mask is not None:
        scores = scores + attn_mask
        visible = visible & (attn_mask > torch.finfo(attn_mask.dtype).min / 2)
    return masked_softmax(scores, visible), visible


def _visible(bound: Mapping[str, Any], weights: Tensor) -> Tensor:
    rows, keys = weights.shape[-2:]
    mask = visible_mask(
        rows,
        keys,
        causal=bound["causal"],
        kv_lengths=bound["kv_lengths"],
        q_start=bound["q_start"],
        device=weights.device,
    )
    return torch.ones(1, dtype=torch.bool) if mask is None else mask


def _attention_call(call: OperatorCall) -> AttentionCall | None:
    if call.variant is not None:
        bound = call.variant.bind(call.args, call.kwargs)
        weights = call.variant.weights(**bound)
        return AttentionCall(call.layer, call.variant.title, weights, bound["v"], _visible(bound, weights))
    if call.args[0].dim() != 4:
        return None
    weights, visible = _softmax_weights(*call.args, **call.kwargs)
    return AttentionCall(call.layer, "softmax attention", weights, call.args[2], visible)


def visit_attention(model: Model, tensors: Sequence[Tensor], visit: Callable[[AttentionCall], None]) -> None:
    """Runs the model once and calls ``visit`` for every attention call, in order.

    Seen are the operators of attnexport and torch's scaled_dot_product_attention on (B, H, N, D).
    """

    def visit_operator(call: OperatorCall) -> None:
        found = _attention_call(call)
        if found is not None:
            visit(found)

    visit_calls(model, tensors, visit_operator)
