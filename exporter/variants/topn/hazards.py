"""What can go wrong in a call of top-N attention."""

from __future__ import annotations

import torch
from torch import Tensor

from attnexport.variants.hazards import Figure, ScoreSums, add_dot_products
from attnexport.variants.visibility import visible_counts


def measure(
    q: Tensor, k: Tensor, v: Tensor,
    n: int, scale: float, renormalize: bool, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
    *, precision: torch.dtype,
) -> tuple[Figure, ...]:  # fmt: skip
    """Largest score, rows without keys and tied rows."""
    counts = visible_counts(
        q.shape[2], k.shape[2], causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device
    )
    sums = ScoreSums(q.shape[1], precision, keep=n)
    add_dot_products(sums, q, k, scale, counts)
    return sums.figures()
