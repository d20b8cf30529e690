"""PyTorch's own errors of one output on one kind of inputs, and what they allow a contender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.check.budget import ORDINARY_L2, ORDINARY_MISMATCHES, ROUNDING_MISMATCHES, Budget
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.errors.distance import differing
from attnexport.accuracy.errors.pieces import errors_of
from attnexport.accuracy.errors.sums import ErrorSums


@dataclass
class RoundingTally:
    """How far random rounding moves the float64 program, on the batches where that was looked at.

    Attributes:
        errors: of floating outputs.
        mismatches: of outputs that must be equal, in the draw of each batch that moves most of them.
    """

    errors: ErrorSums = field(default_factory=ErrorSums)
    mismatches: int = 0

    @classmethod
    def of(cls, draws: Sequence[NDArray[Any]], exact: NDArray[Any]) -> RoundingTally:
        """Outputs of the float64 program with values rounded at random, for one batch, and the float64 reference."""
        found = cls()
        if exact.dtype.kind != "f":
            found.mismatches = max(differing(draw, exact) for draw in draws)
        else:
            for draw in draws:
                found.errors.merge(errors_of(draw, exact))
        return found

    def merge(self, other: RoundingTally) -> None:
        """Takes in another batch."""
        self.errors.merge(other.errors)
        self.mismatches += other.mismatches


class YardstickTally:
    """PyTorch's own errors at one precision, for one output and kind.

    Args:
        floor: share of max|ref64| that is always allowed; None for outputs that must be equal.
        override: of the budget file, or None.
        trusted: share of max|ref64| up to which PyTorch's errors are a yardstick; None on ordinary inputs, where they
            always are one, up to a bound.

    Attributes:
        errors: of floating outputs.
        override: as given.
    """

    def __init__(self, floor: float | None, override: Override | None, trusted: float | None) -> None:
        self._floor, self.override, self._trusted = floor, override, trusted
        self.errors = ErrorSums()
        self._mismatches = self._elements = 0
        self._largest_reference = 0.0

    def add(self, plain: NDArray[Any], exact: NDArray[Any]) -> None:
        """Takes in one batch: PyTorch's output and the float64 reference, of equal shapes."""
        self._elements += exact.size
        if exact.dtype.kind != "f":
            self._mismatches += differing(plain, exact)
            return
        self._largest_reference = max(self._largest_reference, float(np.abs(exact).max(initial=0.0)))
        self.errors.merge(errors_of(plain, exact))

    def budget(self, rounding: RoundingTally) -> Budget | None:
        """What is allowed, given what random rounding does; None for outputs that must be equal."""
        if self._floor is None:
            return None
        return Budget(
            self.errors.largest_error,
            self._floor * self._largest_reference,
            self.override,
            rounding.errors.largest_error,
            torch_l2=self.errors.relative_l2,
            rounding_l2=rounding.errors.relative_l2,
            largest_l2=ORDINARY_L2 if self._trusted is None else None,
        )

    @property
    def judged(self) -> bool:
        """Whether PyTorch is accurate enough here for the size of errors to count."""
        return self._trusted is None or self.errors.largest_error <= self._trusted * self._largest_reference

    def allowed_mismatches(self, rounding: RoundingTally) -> int:
        """Elements of an output that must be equal that may differ all the same."""
        if self.override is not None:
            factor, limit = self.override.factor, self.override.limit
            return int(limit if limit is not None else (factor or 0.0) * self._mismatches)
        allowed = 2 * self._mismatches
        if self._trusted is None:
            allowed = min(allowed, self._share(ORDINARY_MISMATCHES))
        excused = min(2 * rounding.mismatches, self._share(ROUNDING_MISMATCHES))
        return max(allowed, excused if rounding.mismatches > allowed else 0)

    def _share(self, share: float) -> int:
        """That share of the elements, one at least."""
        return max(1, int(share * self._elements))
