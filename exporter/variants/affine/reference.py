"""Affine-scaled attention in PyTorch (arXiv 2602.23057, eq. 6): alpha times softmax attention plus beta times
the sum of the visible values."""

from __future__ import annotations

import torch
from torch import Tensor

from attnexport.variants.dense import compute_dtype, group_heads, masked_softmax, row_chunks, zero_hidden
from attnexport.variants.visibility import visible_counts


def _visible_sums(v: Tensor, counts: Tensor) -> Tensor:
    """Sum of the first counts[b, i] values: (B, Hkv, M, Dv) and (B or 1, N) to (B, Hkv, N, Dv)."""
    prefix = torch.nn.functional.pad(v.cumsum(2), (0, 0, 1, 0))
    index = counts[:, None, :, None].expand(v.shape[0], v.shape[1], -1, v.shape[3])
    return prefix.gather(2, index)


def affine_scaled_attention(
    q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor,
    scale: float, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator."""
    kv_heads, keys, rows = k.shape[1], k.shape[2], q.shape[2]
    dtype = compute_dtype(v)
    grouped = group_heads(q.to(dtype) * scale, kv_heads)
    k_wide = zero_hidden(k.to(dtype), kv_lengths)[:, :, None]
    v_wide = zero_hidden(v.to(dtype), kv_lengths)
    counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device)
    columns = torch.arange(keys, device=q.device)
    masked = causal or kv_lengths is not None
    parts = []
    for part in row_chunks(rows, q.shape[0] * q.shape[1] * keys, q.device):
        scores = grouped[..., part, :] @ k_wide.transpose(-1, -2)
        mask = columns < counts[:, None, None, part, None] if masked else None
        parts.append(masked_softmax(scores, mask) @ v_wide[:, :, None])
    softmax = torch.cat(parts, dim=-2).flatten(1, 2)
    sums = _visible_sums(v_wide, counts) if masked else v_wide.sum(2, keepdim=True)
    total = sums[:, :, None].expand(-1, -1, grouped.shape[2], rows, -1).flatten(1, 2)
    out = alpha.to(dtype)[..., None] * softmax + beta.to(dtype)[..., None] * total
    return out.to(v.dtype)


def affine_scaled_weights(
    q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor,
    scale: float, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Dense weights alpha_i softmax_ij + beta_i over visible keys, (B, H, N, M), in the compute type."""
    dtype = compute_dtype(v)
    rows, keys = q.shape[2], k.shape[2]
    counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device)
    mask = torch.arange(keys, device=q.device) < counts[:, None, :, None]
    k_wide = zero_hidden(k.to(dtype), kv_lengths)[:, :, None]
    scores = group_heads(q.to(dtype) * scale, k.shape[1]) @ k_wide.transpose(-1, -2)
    softmax = masked_softmax(scores.flatten(1, 2), mask)
    weights = alpha.to(dtype)[..., None] * softmax + beta.to(dtype)[..., None]
    return weights.masked_fill(~mask, 0.0)
