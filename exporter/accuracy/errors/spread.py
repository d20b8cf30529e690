"""How far repetitions of the same outputs lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Spread:
    """How far repetitions of one output lie apart.

    Attributes:
        output: its name.
        largest: largest absolute difference from the first repetition.
        differing: elements that were not bit-equal in some repetition.
        elements: how many were compared, once for each repetition after the first.
    """

    output: str
    largest: float
    differing: int
    elements: int


class SpreadSums:
    """Running spread of one output between a first run and others."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._largest = 0.0
        self._differing = self._elements = 0

    def add(self, first: NDArray[Any], other: NDArray[Any]) -> None:
        """Takes in one repetition of one batch; NaN equals NaN, and is infinitely far from anything else."""
        floating = first.dtype.kind == "f"
        equal = (first == other) | (np.isnan(first) & np.isnan(other)) if floating else first == other
        self._elements += first.size
        if equal.all():
            return
        self._differing += int((~equal).sum())
        difference = np.abs(first[~equal].astype(np.float64) - other[~equal].astype(np.float64))
        self._largest = max(self._largest, float(np.where(np.isnan(difference), np.inf, difference).max()))

    def result(self) -> Spread:
        """What was gathered."""
        return Spread(self._output, self._largest, self._differing, self._elements)
