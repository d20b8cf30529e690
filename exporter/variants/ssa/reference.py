"""Selective synchronization attention in PyTorch (arXiv 2602.14445, eqs. 4-14).

The coupling J sqrt(1 - (D / (K r J))^2) inside the lock radius and 0 outside is computed as
sqrt(max(0, exp(-2 alpha D2) - D2 / (K r)^2)): the same function without a division by J, an arcsine or a mask.
The causal form, with an order parameter per row, is ours; the paper has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.variants.dense import compute_dtype, per_head, top_k_mask, zero_hidden
from attnexport.variants.rows import BiasedRows
from attnexport.variants.visibility import KeyRuns, Visibility

SMALLEST_LOCK_SQUARE = 1e-30
"""Keeps D2 / (K r)^2 finite when the phases cancel; a row with r = 0 still locks to identical tokens."""


def order_parameter(theta: Tensor, runs: KeyRuns) -> Tensor:
    """r of every row: mean over l of |mean over the keys of its run of exp(i theta[j, l])|.

    Args:
        theta: phases (B, Hkv, M, D).
        runs: of keys that rows see, one per row or one for all of a sample.

    Returns:
        (B, Hkv, N or 1), 0 for rows that see no key.
    """
    batch, kv_heads, _, width = theta.shape
    index = runs.high[:, None, :, None].expand(batch, kv_heads, -1, width)
    waves = torch.stack([theta.cos(), theta.sin()])
    if runs.low is not None:
        begun = torch.arange(theta.shape[2], device=theta.device) >= runs.low[:, :1]
        waves = waves.masked_fill(~begun[:, None, :, None], 0.0)
    prefix = torch.nn.functional.pad(waves.cumsum(3), (0, 0, 1, 0))
    counts = runs.counts().clamp(min=1)[:, None, :, None]
    mean = prefix.gather(3, index.expand(2, -1, -1, -1, -1)) / counts
    power = mean.square().sum(0)
    some = power != 0
    magnitude = torch.where(some, power, 1.0).sqrt().where(some, 0.0)
    return magnitude.mean(-1)


def masked_order_parameter(theta: Tensor, seen: Tensor) -> Tensor:
    """r of every row that sees the keys of a mask: mean over l of |mean over these keys of exp(i theta[j, l])|.

    Args:
        theta: phases (B, Hkv, M, D).
        seen: true where a row sees a key, (B or 1, Hkv or 1, G or 1, N or 1, M).

    Returns:
        (B, Hkv, G or 1, N or 1), 0 for rows that see no key. NaN in a phase stays with the rows that see it.
    """
    weights, broken = seen.to(theta.dtype), theta.isnan()
    phases = theta.masked_fill(broken, 0.0)
    counts = weights.sum(-1, keepdim=True).clamp(min=1)
    mean = (weights @ torch.stack([phases.cos(), phases.sin()])[:, :, :, None]) / counts
    power = mean.square().sum(0)
    some = power != 0
    magnitude = torch.where(some, power, 1.0).sqrt().where(some, 0.0)
    lost = weights @ broken.to(theta.dtype)[:, :, None] > 0
    return magnitude.masked_fill(lost, torch.nan).mean(-1)


@dataclass(frozen=True)
class CoupledRows(BiasedRows):
    """Rows whose scores are the squared distances D2 of the frequencies, and whose weights are S / (sum S + eps).

    A bias is a mask: it hides keys and enters no score.

    Attributes:
        alpha: decay per head (Hkv, G, 1, 1).
        lock_square: (K r)^2, (B, Hkv, G or 1, N or 1, 1).
        top_k: keys kept per row, 0 for all.
        eps: added to the denominator.
    """

    alpha: Tensor
    lock_square: Tensor
    top_k: int
    eps: float

    def scores(self, part: slice) -> Tensor:
        omega_q = self.q[..., part, :]
        squares = omega_q.square().sum(-1)[..., None] + self.k.square().sum(-1)[..., None, :]
        return (squares - 2.0 * (omega_q @ self.k.transpose(-1, -2))).clamp(min=0.0)

    def strength(self, part: slice, distance: Tensor) -> Tensor:
        """S of some rows at that distance from the keys, 0 where they see none, (B, Hkv, G, rows, M)."""
        lock_square = self.lock_square if self.lock_square.shape[-2] == 1 else self.lock_square[..., part, :]
        inner = torch.exp(-2.0 * self.alpha * distance) - distance / lock_square
        mask, locked = self.mask(part), ~(inner <= 0)  # NaN stays
        locked = locked if mask is None else locked & mask
        return torch.where(locked, inner, 1.0).sqrt().where(locked, 0.0)

    def kept_strength(self, part: slice) -> Tensor:
        """The top_k largest S of some rows, (B, Hkv, G, rows, M)."""
        strength = self.strength(part, self.scores(part))
        kept = top_k_mask(strength, self.top_k, self.mask(part)) if self.top_k else None
        return strength if kept is None else strength.masked_fill(~kept, 0.0)

    def weights(self, part: slice) -> Tensor:
        strength = self.kept_strength(part)
        return strength / (strength.sum(-1, keepdim=True) + self.eps)

    def outputs(self, part: slice) -> Tensor:
        strength = self.kept_strength(part)
        return strength @ self.v / (strength.sum(-1, keepdim=True) + self.eps)


def _seen(rows: BiasedRows, part: slice) -> Tensor:
    seen = rows.visible(part)
    assert seen is not None  # a bias hides
    return seen


def _chunks(rows: BiasedRows, causal: bool) -> Iterator[slice]:
    """Rows whose masks are looked at at once; the first alone where all see the same keys."""
    alike = not causal and rows.bias is not None and rows.bias.shape[-2] == 1
    return iter([slice(0, 1)]) if alike else rows.parts()


def coupled_rows(
    omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor,
    top_k: int, causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> CoupledRows:  # fmt: skip
    """The operator's rows."""
    dtype, kv_heads = compute_dtype(v), omega_k.shape[1]
    visibility = Visibility(causal, kv_lengths, q_start, kv_start)
    plain = BiasedRows.of(omega_q, omega_k, v, causal, kv_lengths, q_start, kv_start, bias)
    phases = zero_hidden(theta.to(dtype), visibility)
    if bias is None:
        order = order_parameter(phases, plain.runs if causal else plain.runs.part(slice(0, 1)))[:, :, None]
    else:
        masks = (_seen(plain, part) for part in _chunks(plain, causal))
        order = torch.cat([masked_order_parameter(phases, mask) for mask in masks], dim=-1)
    lock_square = (coupling.to(dtype) * order).square().clamp(min=SMALLEST_LOCK_SQUARE)
    return CoupledRows(
        **vars(plain),
        alpha=per_head(alpha.to(dtype), omega_q.shape[1], kv_heads),
        lock_square=lock_square[..., None],
        top_k=top_k,
        eps=eps,
    )


def selective_synchronization_attention(
    omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor,
    top_k: int, causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator. A top_k of 0 means none."""
    rows = coupled_rows(
        omega_q, omega_k, theta, v, coupling, alpha, top_k, causal, eps, kv_lengths, q_start, kv_start, bias
    )  # fmt: skip
    return rows.attend().to(v.dtype)
