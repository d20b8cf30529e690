"""Errors of one output, as plain data: for each kind of input, over all of them, and between repetitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnexport.accuracy.check.budget import Budget


@dataclass(frozen=True)
class Histogram:
    """How many elements have which absolute error; a bin doubles the one before it.

    Attributes:
        edges: counts[i] elements lie in [edges[i], edges[i + 1]); one more than counts, both empty without errors.
        counts: from the smallest error that occurs to the largest.
        exact: elements without any error.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    exact: int


@dataclass(frozen=True)
class WorstExample:
    """The element of a sample that is furthest off.

    Attributes:
        batch: the batch it is in, as messages name it.
        index: where in the output.
        reference, given: the value in float64 and in the contender.
        torch: the value in PyTorch at the contender's precision.
    """

    batch: str
    index: tuple[int, ...]
    reference: float
    torch: float
    given: float

    @property
    def error(self) -> float:
        """Absolute error."""
        return abs(self.given - self.reference)


@dataclass(frozen=True)
class KindErrors:
    """Errors of one output on one kind of inputs, against the float64 reference.

    Attributes:
        kind: name of the kind, as ``normal``; ``data`` for data that the user gave.
        elements: how many were compared.
        relative_l2, largest_error, cosine, largest_reference: over the elements that are finite.
        budget: what is allowed; None for integers and booleans, which go by mismatches.
        judged: whether the size of errors counts; not on extreme generated inputs where PyTorch at the contender's
            precision has itself lost half of its digits.
        mismatches: elements that differ from the reference, for integers and booleans.
        allowed_mismatches: twice as many as in PyTorch at the contender's precision.
        not_finite: elements that are NaN or infinite where the reference is finite.
        torch_not_finite: the same in PyTorch at the contender's precision.
        histogram: absolute errors of floating outputs.
        worst: the samples furthest off, worst first, of floating outputs.
        is_yardstick: whether these are errors of PyTorch at the precision that it would be held to, which nothing
            judges, unless values are not finite. Default: False.
    """

    kind: str
    elements: int
    relative_l2: float
    largest_error: float
    cosine: float
    largest_reference: float
    budget: Budget | None
    judged: bool
    mismatches: int
    allowed_mismatches: int
    not_finite: int
    torch_not_finite: int
    histogram: Histogram
    worst: tuple[WorstExample, ...]
    is_yardstick: bool = False

    @property
    def passed(self) -> bool:
        """Whether these are within the budget, or are the yardstick."""
        if self.is_yardstick:
            return self.not_finite == 0
        if self.budget is None:
            return self.mismatches <= self.allowed_mismatches
        return self.not_finite == 0 and self.share <= 1

    @property
    def share(self) -> float:
        """Share of the budget that is used: above 1 is outside; infinite where values are not finite, 0 where the
        size of errors is not judged."""
        if self.is_yardstick:
            return math.inf if self.not_finite else 0.0
        if self.budget is None:
            if self.allowed_mismatches > 0:
                return self.mismatches / self.allowed_mismatches
            return math.inf if self.mismatches > 0 else 0.0
        if self.not_finite:
            return math.inf
        return self.budget.share(self.largest_error, self.relative_l2) if self.judged else 0.0

    @property
    def excused(self) -> bool:
        """Whether it is within the budget only because random rounding moves the model's result so far."""
        budget = self.budget
        if budget is None or self.is_yardstick or not (self.judged and self.passed):
            return False
        return budget.override is None and self.largest_error > budget.limit_of_torch


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
    largest: float = 0.0
    differing: int = 0
    elements: int = 0


@dataclass(frozen=True)
class OutputErrors:
    """One output of one contender.

    Attributes:
        name, dtype: the output in the model.
        kinds: its errors for each kind of inputs that ran, at least one.
    """

    name: str
    dtype: str
    kinds: tuple[KindErrors, ...]

    @property
    def passed(self) -> bool:
        """Whether every kind is within its budget."""
        return all(kind.passed for kind in self.kinds)

    @property
    def is_yardstick(self) -> bool:
        """Whether these are PyTorch's own errors, which nothing judges."""
        return all(kind.is_yardstick for kind in self.kinds)

    @property
    def worst_kind(self) -> KindErrors:
        """The kind that uses most of its budget; of those that use none, the one furthest off in relative L2."""
        return max(self.kinds, key=lambda kind: (kind.share, kind.relative_l2))
