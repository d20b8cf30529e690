"""Selective synchronization attention in PyTorch (arXiv 2602.14445, eqs. 4-14).

The coupling J sqrt(1 - (D / (K r J))^2) inside the lock radius and 0 outside is computed as
sqrt(max(0, exp(-2 alpha D2) - D2 / (K r)^2)): the same function without a division by J, an arcsine or a mask.
The causal form, with an order parameter per row, is ours; the paper has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.variants.dense import compute_dtype, group_heads, per_head, row_chunks, top_k_mask, zero_hidden
from attnexport.variants.visibility import visible_counts

SMALLEST_LOCK_SQUARE = 1e-30
"""Keeps D2 / (K r)^2 finite when the phases cancel; a row with r = 0 still locks to identical tokens."""


def order_parameter(theta: Tensor, counts: Tensor) -> Tensor:
    """r of every row: mean over l of |mean over the first counts[b, i] keys of exp(i theta[j, l])|.

    Args:
        theta: phases (B, Hkv, M, D).
        counts: visible keys per row, int64 (B or 1, N or 1).

    Returns:
        (B, Hkv, N or 1), 0 for rows that see no key.
    """
    batch, kv_heads, _, width = theta.shape
    index = counts[:, None, :, None].expand(batch, kv_heads, -1, width)
    waves = torch.stack([theta.cos(), theta.sin()])
    prefix = torch.nn.functional.pad(waves.cumsum(3), (0, 0, 1, 0))
    mean = prefix.gather(3, index.expand(2, -1, -1, -1, -1)) / counts.clamp(min=1)[:, None, :, None]
    power = mean.square().sum(0)
    magnitude = torch.where(power > 0, power, 1.0).sqrt().where(power > 0, 0.0)
    return magnitude.mean(-1)


@dataclass(frozen=True)
class Rows:
    """What the coupling of the query rows needs, in the compute type and grouped heads."""

    omega_q: Tensor  # (B, Hkv, G, N, D)
    omega_k: Tensor  # (B, Hkv, 1, M, D)
    alpha: Tensor  # (Hkv, G, 1, 1)
    lock_square: Tensor  # (K r)^2, (B, Hkv, 1, N or 1, 1)
    counts: Tensor | None  # (B or 1, N), None when every row sees every key
    top_k: int

    def distance(self, part: slice) -> Tensor:
        """D2 of some rows, (B, Hkv, G, rows, M)."""
        omega_q = self.omega_q[..., part, :]
        squares = omega_q.square().sum(-1)[..., None] + self.omega_k.square().sum(-1)[..., None, :]
        return (squares - 2.0 * (omega_q @ self.omega_k.transpose(-1, -2))).clamp(min=0.0)

    def mask(self, part: slice) -> Tensor | None:
        """Which keys some rows see, (B or 1, 1, 1, rows, M); None when they see all."""
        if self.counts is None:
            return None
        columns = torch.arange(self.omega_k.shape[-2], device=self.omega_k.device)
        return columns < self.counts[:, None, None, part, None]

    def strength(self, part: slice, distance: Tensor) -> Tensor:
        """S of some rows at that distance from the keys, 0 where they see none, (B, Hkv, G, rows, M)."""
        lock_square = self.lock_square if self.lock_square.shape[-2] == 1 else self.lock_square[..., part, :]
        inner = torch.exp(-2.0 * self.alpha * distance) - distance / lock_square
        mask = self.mask(part)
        locked = inner > 0 if mask is None else (inner > 0) & mask
        return torch.where(locked, inner, 1.0).sqrt().where(locked, 0.0)

    def kept_strength(self, part: slice) -> Tensor:
        """The top_k largest S of some rows, (B, Hkv, G, rows, M)."""
        strength = self.strength(part, self.distance(part))
        kept = top_k_mask(strength, self.top_k, self.mask(part)) if self.top_k else None
        return strength if kept is None else strength.masked_fill(~kept, 0.0)


def coupled_rows(
    omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor,
    top_k: int, causal: bool, kv_lengths: Tensor | None, q_start: Tensor | None,
) -> Rows:  # fmt: skip
    """The operator's arguments, ready to be coupled row by row."""
    heads, kv_heads = omega_q.shape[1], omega_k.shape[1]
    dtype = compute_dtype(v)
    counts = visible_counts(
        omega_q.shape[2],
        omega_k.shape[2],
        causal=causal,
        kv_lengths=kv_lengths,
        q_start=q_start,
        device=v.device,
    )
    order = order_parameter(zero_hidden(theta.to(dtype), kv_lengths), counts if causal else counts[:, :1])
    lock_square = (coupling.to(dtype) * order).square().clamp(min=SMALLEST_LOCK_SQUARE)
    return Rows(
        omega_q=group_heads(omega_q.to(dtype), kv_heads),
        omega_k=zero_hidden(omega_k.to(dtype), kv_lengths)[:, :, None],
        alpha=per_head(alpha.to(dtype), heads, kv_heads),
        lock_square=lock_square[:, :, None, :, None],
        counts=counts if causal or kv_lengths is not None else None,
        top_k=top_k,
    )


def selective_synchronization_attention(
    omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor,
    top_k: int, causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator. A top_k of 0 means none."""
    rows = coupled_rows(omega_q, omega_k, theta, v, coupling, alpha, top_k, causal, kv_lengths, q_start)
    v_wide = zero_hidden(v.to(compute_dtype(v)), kv_lengths)[:, :, None]
    per_row = omega_q.shape[0] * omega_q.shape[1] * omega_k.shape[2]
    parts = []
    for part in row_chunks(omega_q.shape[2], per_row, v.device):
        strength = rows.kept_strength(part)
        parts.append(strength @ v_wide / (strength.sum(-1, keepdim=True) + eps))
    return torch.cat(parts, dim=-2).flatten(1, 2).to(v.dtype)


def synchronization_weights(
    omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor,
    top_k: int, causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Dense normalised weights (B, H, N, M) of the operator, in the compute type."""
    rows = coupled_rows(omega_q, omega_k, theta, v, coupling, alpha, top_k, causal, kv_lengths, q_start)
    strength = rows.kept_strength(slice(0, omega_q.shape[2])).flatten(1, 2)
    return strength / (strength.sum(-1, keepdim=True) + eps)
