"""How long a bar is that stands for a share of the budget: logarithmic, with the budget itself at a mark."""

from __future__ import annotations

import math

SMALLEST, LARGEST = 0.01, 10_000.0
"""Shares at the ends of every bar: 1 % of the budget and 10,000 times it."""


def length(share: float) -> float:
    """Of a bar, from 0 to 1."""
    if math.isnan(share) or share >= LARGEST:
        return 1.0
    if share <= SMALLEST:
        return 0.0
    return math.log(share / SMALLEST) / math.log(LARGEST / SMALLEST)


MARK = length(1.0)
"""Where the budget is."""
