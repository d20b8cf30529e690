"""Histogram of absolute errors, gathered batch by batch."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.errors.measures import Histogram


class HistogramSums:
    """Running histogram whose bins are powers of two, so that no range has to be known beforehand."""

    def __init__(self) -> None:
        self._exact = 0
        self._counts: Counter[int] = Counter()

    def add(self, errors: NDArray[Any]) -> None:
        """Takes in finite absolute errors."""
        wrong = errors[errors > 0]
        self._exact += errors.size - wrong.size
        _, exponents = np.frexp(wrong)
        found, counts = np.unique(exponents, return_counts=True)
        self._counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def histogram(self) -> Histogram:
        """What was gathered."""
        if not self._counts:
            return Histogram((), (), self._exact)
        first, last = min(self._counts), max(self._counts)
        edges = tuple(math.ldexp(1.0, exponent) for exponent in range(first - 1, last + 1))
        return Histogram(edges, tuple(self._counts[exponent] for exponent in range(first, last + 1)), self._exact)
