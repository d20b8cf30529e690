"""Task metrics and predictions, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A task metric.

    Attributes:
        name: as ``--metric`` takes it.
        reference, contender: its value in float64 and in the contender.
        lower_is_better: as for perplexity.
        max_drop: how much worse the contender may be; None when it is shown only.
    """

    name: str
    reference: float
    contender: float
    lower_is_better: bool
    max_drop: float | None

    @property
    def drop(self) -> float:
        """How much worse than the reference the contender is; negative when better."""
        worse, better = (self.contender, self.reference) if self.lower_is_better else (self.reference, self.contender)
        return worse - better

    @property
    def passed(self) -> bool:
        """Whether the drop is allowed; a drop that is NaN is not."""
        return self.max_drop is None or self.drop <= self.max_drop


@dataclass(frozen=True)
class Predictions:
    """Predictions (argmax over the last axis of an output) in the float64 reference and in the contender.

    Attributes:
        output: the output's name.
        compared: how many were compared.
        agreeing: how many are the same in both.
        labelled: how many had a label; right_reference and right_contender of these were right.
    """

    output: str
    compared: int
    agreeing: int
    labelled: int
    right_reference: int
    right_contender: int

    @property
    def agreement(self) -> float:
        """Share of equal predictions."""
        return self.agreeing / self.compared if self.compared else 1.0

    @property
    def accuracy_reference(self) -> float | None:
        """Share of right predictions in the reference, None without labels."""
        return self.right_reference / self.labelled if self.labelled else None

    @property
    def accuracy_contender(self) -> float | None:
        """Share of right predictions in the contender, None without labels."""
        return self.right_contender / self.labelled if self.labelled else None
