"""Affine-scaled attention in PyTorch (arXiv 2602.23057, eq. 6): alpha times softmax attention plus beta times
the sum of the visible values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.variants.dense import group_heads
from attnexport.variants.rows import BiasedRows


@dataclass(frozen=True)
class AffineRows(BiasedRows):
    """Rows whose weights are alpha softmax + beta over visible keys, both (B, H, N)."""

    alpha: Tensor
    beta: Tensor

    def weights(self, part: slice) -> Tensor:
        alpha, beta = (group_heads(x.to(self.q.dtype), self.k.shape[1]) for x in (self.alpha, self.beta))
        weights = alpha[..., part, None] * super().weights(part) + beta[..., part, None]
        mask = self.mask(part)
        return weights if mask is None else weights.masked_fill(~mask, 0.0)


def _sums_before(v: Tensor, ends: Tensor) -> Tensor:
    """Sum of the first ends[b, i] values: (B, Hkv, M, Dv) and (B or 1, N) to (B, Hkv, N, Dv)."""
    prefix = torch.nn.functional.pad(v.cumsum(2), (0, 0, 1, 0))
    index = ends[:, None, :, None].expand(v.shape[0], v.shape[1], -1, v.shape[3])
    return prefix.gather(2, index)


def affine_scaled_attention(
    q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor,
    scale: float, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator."""
    given = q, k, v, causal, kv_lengths, q_start, kv_start, bias
    if bias is not None:  # what rows see is no run of keys, and its sum no difference of two
        return AffineRows.of(*given, scale=scale, alpha=alpha, beta=beta).attend().to(v.dtype)
    rows = BiasedRows.of(*given, scale=scale)
    softmax, values = rows.attend(), rows.v[:, :, 0]
    # Values before kv_start are zero, so that sums from the first key on are sums of what rows see.
    sums = _sums_before(values, rows.runs.high) if rows.hides else values.sum(2, keepdim=True)
    total = sums[:, :, None].expand(-1, -1, rows.q.shape[2], q.shape[2], -1).flatten(1, 2)
    out = alpha.to(rows.q.dtype)[..., None] * softmax + beta.to(rows.q.dtype)[..., None] * total
    return out.to(v.dtype)
