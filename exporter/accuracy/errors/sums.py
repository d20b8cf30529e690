"""Error of one output, gathered batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class ErrorSums:
    """Running error of an output against its float64 reference.

    Attributes:
        squared_error, squared_reference, squared_output, product: sums over all elements.
        largest_error: largest absolute error.
        largest_reference: largest absolute value of the reference.
        not_finite: elements that are NaN or infinite where the reference is finite.
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
        finite = np.isfinite(given)
        self.elements += given.size
        self.not_finite += int((~finite & np.isfinite(wanted)).sum())
        given, wanted = given[finite], wanted[finite]
        error = np.abs(given - wanted)
        self.squared_error += float(error @ error)
        self.squared_reference += float(wanted @ wanted)
        self.squared_output += float(given @ given)
        self.product += float(given @ wanted)
        if error.size:
            self.largest_error = max(self.largest_error, float(error.max()))
            self.largest_reference = max(self.largest_reference, float(np.abs(wanted).max()))

    @property
    def relative_l2(self) -> float:
        """‖out - ref‖₂ / ‖ref‖₂; the plain norm where the reference is zero."""
        error = float(np.sqrt(self.squared_error))
        return error / float(np.sqrt(self.squared_reference)) if self.squared_reference > 0 else error

    @property
    def cosine(self) -> float:
        """Cosine of the angle between output and reference; 1 where both are zero."""
        norms = float(np.sqrt(self.squared_output) * np.sqrt(self.squared_reference))
        if norms == 0.0:
            return 1.0 if self.squared_output == self.squared_reference else 0.0
        return self.product / norms
