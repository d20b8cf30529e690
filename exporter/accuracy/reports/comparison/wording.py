"""What the reports of a comparison call figures and changes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnexport.accuracy.comparing.comparison import (
    BETTER,
    GONE,
    NEW,
    SAME,
    WORSE,
    Compared,
    ComparedContender,
    Comparison,
    Figure,
)
from attnexport.accuracy.reports.wording import budgets, number
from attnexport.messages import count

SHARE, DROP, MEASURED = "of the budget", "worse than the reference by", "measured"
"""What the figures of outputs and layers, of metrics and of hazards are."""

_ORDER = (WORSE, BETTER, NEW, GONE, SAME)


@dataclass(frozen=True)
class Group:
    """Figures of one sort.

    Attributes:
        title: what they are of.
        figures: what each is, one of SHARE, DROP and MEASURED.
        rows: of layers as they run, of others those first that now fail, then the worst.
    """

    title: str
    figures: str
    rows: tuple[Compared, ...]

    @property
    def changed(self) -> tuple[Compared, ...]:
        """Those that became better or worse."""
        return tuple(row for row in self.rows if row.change in (BETTER, WORSE))

    @property
    def alone(self) -> tuple[Compared, ...]:
        """Those of one run alone."""
        return tuple(row for row in self.rows if row.change in (NEW, GONE))

    @property
    def same(self) -> tuple[Compared, ...]:
        """Those that stayed the same."""
        return tuple(row for row in self.rows if row.change == SAME)


def groups_of(contender: ComparedContender) -> Iterator[Group]:
    """Outputs, metrics and layers of a contender, those that it has."""
    groups = (
        Group("outputs", SHARE, tuple(sorted(contender.outputs, key=_rank))),
        Group("metrics", DROP, tuple(sorted(contender.metrics, key=_rank))),
        Group("layers", SHARE, contender.layers),
    )
    return (group for group in groups if group.rows)


def hazards_of(comparison: Comparison) -> Group:
    """The hazards of the model."""
    return Group("hazards", MEASURED, tuple(sorted(comparison.hazards, key=_rank)))


def _rank(row: Compared) -> tuple[bool, int, float]:
    after = row.after.value if row.after is not None else 0.0
    return not row.regressed, _ORDER.index(row.change), -after if math.isfinite(after) else -math.inf


def spelled(figure: Figure | None, figures: str) -> str:
    """A figure, or in words why there is none."""
    if figure is None:
        return "not there"
    if not figure.judged and figures == SHARE:
        return "not judged"
    if figures == SHARE:
        return budgets(figure.value) if math.isfinite(figure.value) else "not finite"
    return number(figure.value)


def changed(row: Compared) -> str:
    """What became of it, in words."""
    if row.regressed:
        return "now fails"
    if row.before is not None and row.after is not None and row.after.passed and not row.before.passed:
        return "now passes"
    return row.change


def layers_sentence(contender: ComparedContender) -> str:
    """Which layer goes wrong first in each run, without a full stop; empty where none was found."""
    before, after = contender.guilty_before, contender.guilty_after
    if not (before or after):
        return ""
    if before == after:
        return f"first outside in both: {after}"
    return f"first outside before: {before or 'none found'}; after: {after or 'none found'}"


def headline(comparison: Comparison) -> str:
    """What came out, in one sentence without a full stop."""
    rows = [row for contender in comparison.contenders for row in (*contender.outputs, *contender.metrics)]
    fell = sum(row.regressed for row in rows)
    if not comparison.contenders:
        return "no contender is in both runs"
    said = [f"{count(fell, 'figure')} that passed now {'fails' if fell == 1 else 'fail'}"] if fell else []
    if not fell and not comparison.passed:
        said = ["a contender that passed now fails"]
    said += [_amount(rows, change) for change in (WORSE, BETTER, SAME)]
    return ", ".join(part for part in said if part)


def _amount(rows: Sequence[Compared], change: str) -> str:
    amount = sum(row.change == change and not row.regressed for row in rows)
    return f"{count(amount, 'figure')} {change}" if amount else ""
