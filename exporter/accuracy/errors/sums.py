"""Errors of one output, gathered batch by batch: sums, a histogram, and the spread of repetitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.errors.distance import differing, distances, largest_distance, share_of
from attnexport.accuracy.errors.measures import Histogram, Spread


@dataclass
class ErrorSums:
    """Running error of an output against its float64 reference.

    Attributes:
        squared_error, squared_reference, squared_output, product: sums over all elements that are finite.
        largest_error: largest absolute error.
        largest_reference: largest absolute value of the reference.
        not_finite: elements infinitely far from the reference: NaN or infinite where that is finite.
        elements: how many were compared.
    """

    squared_error: float = 0.0
    squared_reference: float = 0.0
    squared_output: float = 0.0
    product: float = 0.0
    largest_error: float = 0.0
    largest_reference: float = 0.0
    not_finite: int = 0
    elements: int = 0

    def add(self, output: NDArray[Any], reference: NDArray[Any]) -> None:
        """Takes in one batch of equal shapes."""
        given = output.astype(np.float64).ravel()
        wanted = reference.astype(np.float64).ravel()
        error = distances(given, wanted)
        self.elements += error.size
        self.not_finite += int(np.isinf(error).sum())
        finite = np.isfinite(given) & np.isfinite(wanted)
        given, wanted, error = given[finite], wanted[finite], error[finite]
        self.squared_error += float(error @ error)
        self.squared_reference += float(wanted @ wanted)
        self.squared_output += float(given @ given)
        self.product += float(given @ wanted)
        if error.size:
            self.largest_error = max(self.largest_error, float(error.max()))
            self.largest_reference = max(self.largest_reference, float(np.abs(wanted).max()))

    def merge(self, other: ErrorSums) -> None:
        """Takes in what was gathered elsewhere."""
        self.squared_error += other.squared_error
        self.squared_reference += other.squared_reference
        self.squared_output += other.squared_output
        self.product += other.product
        self.largest_error = max(self.largest_error, other.largest_error)
        self.largest_reference = max(self.largest_reference, other.largest_reference)
        self.not_finite += other.not_finite
        self.elements += other.elements

    @property
    def relative_l2(self) -> float:
        """‖out - ref‖₂ / ‖ref‖₂; the plain norm where the reference is zero."""
        return share_of(math.sqrt(self.squared_error), math.sqrt(self.squared_reference))

    @property
    def cosine(self) -> float:
        """Cosine of the angle between output and reference; 1 where both are zero."""
        norms = math.sqrt(self.squared_output) * math.sqrt(self.squared_reference)
        if norms == 0.0:
            return 1.0 if self.squared_output == self.squared_reference else 0.0
        return self.product / norms


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


def widened(spread: Spread, first: NDArray[Any], other: NDArray[Any]) -> Spread:
    """The spread with one more repetition of one batch beside the first."""
    return Spread(
        spread.output,
        max(spread.largest, largest_distance(first, other)),
        spread.differing + differing(first, other),
        spread.elements + first.size,
    )
