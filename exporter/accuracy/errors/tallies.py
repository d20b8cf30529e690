"""A contender's errors of one output on one kind of inputs, gathered batch by batch in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.errors.distance import differing, distances
from attnexport.accuracy.errors.measures import KindErrors, WorstExample
from attnexport.accuracy.errors.pieces import pieces, rows
from attnexport.accuracy.errors.sums import ErrorSums, HistogramSums
from attnexport.accuracy.errors.yardstick_tallies import RoundingTally, YardstickTally

WORST = 3
"""Samples that are kept as worst examples."""


@dataclass
class _OfBatch:
    """What is wrong on one batch, over its repetitions."""

    errors: ErrorSums = field(default_factory=ErrorSums)
    mismatches: int = 0


class ContenderTally:
    """A contender's errors for one output and kind.

    Args:
        is_yardstick: whether the contender is PyTorch at the precision that it would be held to.

    Attributes:
        rounding: what random rounding does to the model on the batches where the contender was looked at again.
    """

    def __init__(self, is_yardstick: bool = False) -> None:
        self._is_yardstick = is_yardstick
        self._errors = ErrorSums()
        self._histogram = HistogramSums()
        self._worst: list[tuple[float, WorstExample]] = []
        self._mismatches = self._elements = 0
        self._batches: dict[str, _OfBatch] = {}
        self.rounding = RoundingTally()

    def add(self, source: str, given: NDArray[Any], exact: NDArray[Any], plain: NDArray[Any]) -> None:
        """Takes in one batch: the contender's output, the float64 reference and PyTorch's output, of equal shapes."""
        self._elements += exact.size
        of_batch = self._batches.setdefault(source, _OfBatch())
        if exact.dtype.kind != "f":
            differ = differing(given, exact)
            of_batch.mismatches += differ
            self._mismatches += differ
            return
        errors = ErrorSums()
        for piece in pieces(exact):
            ours, wanted = rows(given)[piece], rows(exact)[piece]
            errors.add(ours, wanted)
            apart = distances(ours, wanted)
            self._histogram.add(apart[np.isfinite(apart)])
            self._keep_worst(source, piece.start, apart, given, exact, plain)
        of_batch.errors.merge(errors)
        self._errors.merge(errors)

    def _keep_worst(
        self,
        source: str,
        first_row: int,
        errors: NDArray[Any],
        given: NDArray[Any],
        exact: NDArray[Any],
        plain: NDArray[Any],
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
            values = (float(array[index]) for array in (exact, plain, given))
            self._worst.append((size, WorstExample(source, index, *values)))
        self._worst = sorted(self._worst, key=lambda kept: -kept[0])[:WORST]

    def is_outside(self, yardstick: YardstickTally) -> bool:
        """Whether all of it is beyond what is allowed."""
        return self._is_beyond(self._errors, self._mismatches, yardstick)

    def outside(self, yardstick: YardstickTally) -> Iterator[str]:
        """The batches that are beyond what is allowed by themselves; of outputs that must be equal, all that differ."""
        for source, found in self._batches.items():
            if found.mismatches or self._is_beyond(found.errors, 0, yardstick):
                yield source

    def is_settled(self, source: str, yardstick: YardstickTally) -> bool:
        """Whether one batch alone puts it outside, whatever others there are."""
        found = self._batches[source]
        return self._is_beyond(found.errors, found.mismatches, yardstick)

    def is_finite(self, source: str) -> bool:
        """Whether the values of one batch are finite where the reference is."""
        return not self._batches[source].errors.not_finite

    def _is_beyond(self, errors: ErrorSums, mismatches: int, yardstick: YardstickTally) -> bool:
        if errors.not_finite:
            return True
        if self._is_unjudged(yardstick):
            return False
        budget = yardstick.budget(self.rounding)
        if budget is None:
            return mismatches > yardstick.allowed_mismatches(self.rounding)
        return yardstick.judged and budget.share(errors.largest_error, errors.relative_l2) > 1

    def _is_unjudged(self, yardstick: YardstickTally) -> bool:
        """Whether these are the yardstick's own errors, for which nobody set another budget."""
        return self._is_yardstick and yardstick.override is None

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
            budget=yardstick.budget(self.rounding),
            judged=yardstick.judged,
            mismatches=self._mismatches,
            allowed_mismatches=yardstick.allowed_mismatches(self.rounding),
            not_finite=errors.not_finite,
            torch_not_finite=yardstick.errors.not_finite,
            histogram=self._histogram.histogram(),
            worst=tuple(example for _, example in self._worst),
            is_yardstick=self._is_unjudged(yardstick),
        )
