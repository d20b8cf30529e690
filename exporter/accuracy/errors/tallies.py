"""Errors of one output on one kind of inputs, gathered batch by batch in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.check.budget import (
    ORDINARY_L2,
    ORDINARY_MISMATCHES,
    ROUNDING_MISMATCHES,
    Budget,
    Override,
)
from attnexport.accuracy.errors.distance import differing, distances
from attnexport.accuracy.errors.measures import KindErrors, WorstExample
from attnexport.accuracy.errors.sums import ErrorSums, HistogramSums

CHUNK = 1 << 20
"""Elements that are compared at once: temporary float64 copies stay this small."""

WORST = 3
"""Samples that are kept as worst examples."""


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    """An array (B, …) as (B, rest); a single number as one row."""
    return array.reshape(array.shape[0] if array.ndim else 1, math.prod(array.shape[1:]))


def _chunks(array: NDArray[Any]) -> Iterator[slice]:
    """Rows in groups of about CHUNK elements."""
    rows = _rows(array)
    step = max(1, CHUNK // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


class YardstickTally:
    """PyTorch's own errors at one precision, for one output and kind.

    Args:
        floor: share of max|ref64| that is always allowed; None for outputs that must be equal.
        override: of the budget file, or None.
        trusted: share of max|ref64| up to which PyTorch's errors are a yardstick; None on ordinary inputs, where they
            always are one, up to a bound.

    Attributes:
        errors: of floating outputs.
    """

    def __init__(self, floor: float | None, override: Override | None, trusted: float | None) -> None:
        self._floor, self._override, self._trusted = floor, override, trusted
        self.errors, self._rounded = ErrorSums(), ErrorSums()
        self._mismatches = self._rounded_mismatches = self._elements = 0
        self._largest_reference = 0.0

    def add_reference(self, exact: NDArray[Any]) -> None:
        """Takes in the float64 reference of a batch, whether PyTorch runs on it or not."""
        self._elements += exact.size
        if exact.dtype.kind == "f" and exact.size:
            self._largest_reference = max(self._largest_reference, float(np.abs(exact).max()))

    def add(self, plain: NDArray[Any], exact: NDArray[Any]) -> None:
        """Takes in one batch: PyTorch's output and the float64 reference, of equal shapes."""
        if exact.dtype.kind != "f":
            self._mismatches += differing(plain, exact)
        else:
            _add(self.errors, plain, exact)

    def add_rounded(self, draws: Sequence[NDArray[Any]], exact: NDArray[Any]) -> None:
        """Takes in outputs of the float64 program with values rounded at random."""
        if exact.dtype.kind != "f":
            self._rounded_mismatches += max(differing(draw, exact) for draw in draws)
        else:
            for draw in draws:
                _add(self._rounded, draw, exact)

    @property
    def budget(self) -> Budget | None:
        """What is allowed; None for outputs that must be equal."""
        if self._floor is None:
            return None
        floor = self._floor * self._largest_reference
        return Budget(
            self.errors.largest_error,
            floor,
            self._override,
            self._rounded.largest_error,
            torch_l2=self.errors.relative_l2,
            rounding_l2=self._rounded.relative_l2,
            largest_l2=ORDINARY_L2 if self._trusted is None else None,
        )

    @property
    def judged(self) -> bool:
        """Whether PyTorch is accurate enough here for the size of errors to count."""
        return self._trusted is None or self.errors.largest_error <= self._trusted * self._largest_reference

    @property
    def allowed_mismatches(self) -> int:
        """Elements of an output that must be equal that may differ all the same."""
        if self._override is not None:
            factor, limit = self._override.factor, self._override.limit
            return int(limit if limit is not None else (factor or 0.0) * self._mismatches)
        allowed = 2 * self._mismatches
        if self._trusted is None:
            allowed = min(allowed, self._share(ORDINARY_MISMATCHES))
        excused = min(2 * self._rounded_mismatches, self._share(ROUNDING_MISMATCHES))
        return max(allowed, excused if self._rounded_mismatches > allowed else 0)

    def _share(self, share: float) -> int:
        """That share of the elements, one at least."""
        return max(1, int(share * self._elements))


def _add(errors: ErrorSums, output: NDArray[Any], exact: NDArray[Any]) -> None:
    for chunk in _chunks(exact):
        errors.add(_rows(output)[chunk], _rows(exact)[chunk])


class ContenderTally:
    """A contender's errors for one output and kind."""

    def __init__(self) -> None:
        self._errors = ErrorSums()
        self._histogram = HistogramSums()
        self._worst: list[tuple[float, WorstExample]] = []
        self._mismatches = self._elements = 0

    def add(self, source: str, given: NDArray[Any], exact: NDArray[Any]) -> None:
        """Takes in one batch: the contender's output and the float64 reference, of equal shapes."""
        self._elements += exact.size
        if exact.dtype.kind != "f":
            self._mismatches += differing(given, exact)
            return
        for chunk in _chunks(exact):
            ours, wanted = _rows(given)[chunk], _rows(exact)[chunk]
            self._errors.add(ours, wanted)
            errors = distances(ours, wanted)
            self._histogram.add(errors[np.isfinite(errors)])
            self._keep_worst(source, chunk.start, errors, given, exact)

    def add_torch(self, source: str, plain: NDArray[Any]) -> None:
        """Takes in what PyTorch gives for a batch, for the worst examples among it."""
        self._worst = [
            (size, replace(example, torch=float(plain[example.index])) if example.batch == source else example)
            for size, example in self._worst
        ]

    def _keep_worst(
        self, source: str, first_row: int, errors: NDArray[Any], given: NDArray[Any], exact: NDArray[Any]
    ) -> None:
        """Keeps the samples furthest off, each with its worst element."""
        if not errors.size:
            return
        largest = errors.max(1)
        for row in np.argsort(-largest, kind="stable")[:WORST]:
            size = float(largest[row])
            if size == 0:
                break
            flat = (first_row + int(row)) * errors.shape[1] + int(errors[row].argmax())
            index = tuple(int(axis) for axis in np.unravel_index(flat, exact.shape))
            example = WorstExample(source, index, float(exact[index]), None, float(given[index]))
            self._worst.append((size, example))
        self._worst = sorted(self._worst, key=lambda kept: -kept[0])[:WORST]

    def is_outside(self, yardstick: YardstickTally) -> bool:
        """Whether it is beyond what is allowed so far."""
        budget = yardstick.budget
        if budget is None:
            return self._mismatches > yardstick.allowed_mismatches
        errors = self._errors
        return errors.not_finite > 0 or (
            yardstick.judged and budget.share(errors.largest_error, errors.relative_l2) > 1
        )

    def result(self, kind: str, yardstick: YardstickTally) -> KindErrors:
        """The errors on a kind of inputs beside what PyTorch's errors on the same batches allow."""
        errors = self._errors
        return KindErrors(
            kind=kind,
            elements=self._elements,
            relative_l2=errors.relative_l2,
            largest_error=errors.largest_error,
            cosine=errors.cosine,
            largest_reference=errors.largest_reference,
            budget=yardstick.budget,
            judged=yardstick.judged,
            mismatches=self._mismatches,
            allowed_mismatches=yardstick.allowed_mismatches,
            not_finite=errors.not_finite,
            torch_not_finite=yardstick.errors.not_finite,
            histogram=self._histogram.histogram(),
            worst=tuple(example for _, example in self._worst),
        )
