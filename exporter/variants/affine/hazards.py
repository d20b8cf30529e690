"""What can go wrong in a call of affine-scaled attention."""

from __future__ import annotations

import torch
from torch import Tensor

from attnexport.variants.hazards import Figure, ScoreSums, Share, add_dot_products
from attnexport.variants.visibility import visible_counts


def _saturated_rows(alpha: Tensor) -> Share:
    at_an_end = (alpha <= 0.0) | (alpha >= 1.0)
    return Share(
        "share of rows with alpha at 0 or 1",
        at_an_end.double().sum(dim=(0, 2)).cpu(),
        alpha.shape[0] * alpha.shape[2],
        0.05,
        "the clip hides what alpha depends on, and its gradient is zero there: its projection may be too large",
    )


def measure(
    q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor,
    scale: float, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
    *, precision: torch.dtype,
) -> tuple[Figure, ...]:  # fmt: skip
    """Largest score, rows without keys and saturated alpha."""
    counts = visible_counts(
        q.shape[2], k.shape[2], causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device
    )
    sums = ScoreSums(q.shape[1], precision)
    add_dot_products(sums, q, k, scale, counts)
    return (*sums.figures(), _saturated_rows(alpha))
