"""What can go wrong in a call of affine-scaled attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnexport.variants.affine.reference import AffineRows
from attnexport.variants.hazards import Figure, Share, in_double, score_figures


def _saturated_rows(alpha: Tensor) -> Share:
    at_an_end = (alpha <= 0.0) | (alpha >= 1.0)
    return Share(
        "share of rows with alpha at 0 or 1",
        at_an_end.double().sum(dim=(0, 2)).cpu(),
        alpha.shape[0] * alpha.shape[2],
        0.05,
        "the clip hides what alpha depends on, and its gradient is zero there: its projection may be too large",
        "one row in twenty at an end is what a trained gate may well have",
    )


def measure(alpha: Tensor, *, precision: torch.dtype, **call: Any) -> tuple[Figure, ...]:
    """Largest score, rows without keys and saturated alpha."""
    rows = AffineRows.of(**in_double(call), alpha=alpha)
    return (*score_figures(rows, precision), _saturated_rows(alpha))
