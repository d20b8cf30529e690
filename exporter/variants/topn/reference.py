"""Top-N attention in PyTorch: softmax attention of which each row keeps its N largest weights
(the selection of arXiv 2602.01893; without renormalising it is the paper's selected aggregate)."""

from __future__ import annotations

import torch
from torch import Tensor

from attnexport.variants.dense import compute_dtype, group_heads, masked_softmax, row_chunks, top_k_mask, zero_hidden
from attnexport.variants.visibility import visible_counts


def _kept_weights(scores: Tensor, n: int, renormalize: bool, mask: Tensor | None) -> Tensor:
    kept = top_k_mask(scores, n, mask)
    if renormalize or kept is None:
        return masked_softmax(scores, kept)
    return masked_softmax(scores, mask).masked_fill(~kept, 0.0)


def top_n_attention(
    q: Tensor, k: Tensor, v: Tensor,
    n: int, scale: float, renormalize: bool, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator."""
    kv_heads, keys, rows = k.shape[1], k.shape[2], q.shape[2]
    dtype = compute_dtype(v)
    grouped = group_heads(q.to(dtype) * scale, kv_heads)
    k_wide, v_wide = (zero_hidden(x.to(dtype), kv_lengths)[:, :, None] for x in (k, v))
    counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device)
    columns = torch.arange(keys, device=q.device)
    masked = causal or kv_lengths is not None
    parts = []
    for part in row_chunks(rows, q.shape[0] * q.shape[1] * keys, q.device):
        scores = grouped[..., part, :] @ k_wide.transpose(-1, -2)
        mask = columns < counts[:, None, None, part, None] if masked else None
        parts.append(_kept_weights(scores, n, renormalize, mask) @ v_wide)
    return torch.cat(parts, dim=-2).flatten(1, 2).to(v.dtype)


def top_n_weights(
    q: Tensor, k: Tensor, v: Tensor,
    n: int, scale: float, renormalize: bool, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Dense weights (B, H, N, M) of the operator, in the compute type."""
    dtype = compute_dtype(v)
    rows, keys = q.shape[2], k.shape[2]
    counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device)
    mask = torch.arange(keys, device=q.device) < counts[:, None, :, None]
    k_wide = zero_hidden(k.to(dtype), kv_lengths)[:, :, None]
    scores = group_heads(q.to(dtype) * scale, k.shape[1]) @ k_wide.transpose(-1, -2)
    return _kept_weights(scores.flatten(1, 2), n, renormalize, mask)
