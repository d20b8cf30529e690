"""What two runs of the check say of each other, as plain data."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import ClassVar

BETTER, WORSE, SAME, NEW, GONE = "better", "worse", "the same", "new", "gone"
"""What became of a figure; of the last two one run has none."""

NOTICED = 0.1
"""Change of a figure, as a share of the larger one, up to which it counts as the same."""

LEAST = 0.01
"""Shares of the budget below this are all the same: they are roundings."""


@dataclass(frozen=True)
class Figure:
    """A figure of one run.

    Attributes:
        value: a share of the budget, the drop of a metric, or what a hazard measured; larger is worse.
        passed: whether it was within its budget or limit.
        judged: whether it could fail. Default: True.
        least: below this, figures of its sort are all the same.
    """

    value: float
    passed: bool
    judged: bool = True
    least: ClassVar[float] = LEAST


class Measured(Figure):
    """A figure that is no share of the budget: the drop of a metric, or what a hazard measured."""

    least = 1e-4


@dataclass(frozen=True)
class Compared:
    """A figure in both runs.

    Attributes:
        name: of what, as ``logits, large inputs``.
        before, after: its figure, None where that run has none.
    """

    name: str
    before: Figure | None
    after: Figure | None

    @property
    def regressed(self) -> bool:
        """Whether it passed and now fails."""
        return self.before is not None and self.after is not None and self.before.passed and not self.after.passed

    @property
    def change(self) -> str:
        """``better``, ``worse``, ``the same``, ``new`` or ``gone``."""
        if self.before is None:
            return NEW
        if self.after is None:
            return GONE
        if self.before.passed != self.after.passed:
            return BETTER if self.after.passed else WORSE
        return _change(self.before.value, self.after.value, self.after.least)


def _change(before: float, after: float, least: float) -> str:
    if math.isnan(before) or math.isnan(after):
        return SAME if math.isnan(before) and math.isnan(after) else WORSE if math.isnan(after) else BETTER
    larger = max(abs(before), abs(after))
    if before == after or larger < least or (math.isfinite(larger) and abs(after - before) <= NOTICED * larger):
        return SAME
    return WORSE if after > before else BETTER


@dataclass(frozen=True)
class ComparedContender:
    """A contender in both runs.

    Attributes:
        name: in the later run.
        before_name: in the earlier one.
        before, after: passed, failed or yardstick.
        outputs: each output on each kind of inputs.
        metrics: each metric.
        layers: tensors inside the file, where both runs looked for the layer that goes wrong first.
        guilty_before, guilty_after: that layer, empty where there is none or none was looked for.
        failures: what is wrong in the later run where nothing was in the earlier one, a line each.
    """

    name: str
    before_name: str
    before: str
    after: str
    outputs: tuple[Compared, ...]
    metrics: tuple[Compared, ...]
    layers: tuple[Compared, ...]
    guilty_before: str
    guilty_after: str
    failures: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether it, an output or a metric of it passed and now fails."""
        fell = self.after == "failed" and self.before != "failed"
        return fell or any(figure.regressed for figure in (*self.outputs, *self.metrics))

    @property
    def change(self) -> str:
        """``worse`` where something passed and now fails, ``better`` where it failed and now does not; else ``worse``
        where any output or metric is, ``better`` where any is and none is worse, or ``the same``."""
        if self.regressed:
            return WORSE
        if self.before == "failed" != self.after:
            return BETTER
        changes = {figure.change for figure in (*self.outputs, *self.metrics)}
        return next((change for change in (WORSE, BETTER) if change in changes), SAME)


@dataclass(frozen=True)
class ComparedRun:
    """One of the two runs.

    Attributes:
        source: its file.
        model: the model's name.
        passed: whether nothing was wrong.
    """

    source: str
    model: str
    passed: bool


@dataclass(frozen=True)
class Comparison:
    """What became better or worse from one run of the check to another.

    Attributes:
        before, after: the runs.
        contenders: those that are in both, in the later run's order.
        hazards: of the attention layers.
        new, gone: names of contenders of one run alone.
        notes: what a user should know, one sentence each.
    """

    before: ComparedRun
    after: ComparedRun
    contenders: tuple[ComparedContender, ...]
    hazards: tuple[Compared, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing that passed now fails."""
        return not any(contender.regressed for contender in self.contenders)

    @property
    def change(self) -> str:
        """``better``, ``worse`` or ``the same``: worse where any contender is."""
        changes = {contender.change for contender in self.contenders}
        return next((change for change in (WORSE, BETTER) if change in changes), SAME)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the comparison as HTML, JSON or Markdown, by the name's end: .html, .json or .md.

        Raises:
            InputError: another ending, or a file that cannot be written.
        """
        from attnexport.accuracy.reports.comparison.saving import save_comparison

        save_comparison(self, path)

    def __str__(self) -> str:
        """What changed, as Markdown."""
        from attnexport.accuracy.reports.comparison.markdown import render

        return render(self)
