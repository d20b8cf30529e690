"""A comparison of two checks as one HTML page, which like that of a check needs nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath

from attnexport.accuracy.comparing.comparison import Compared, ComparedContender, Comparison, Figure
from attnexport.accuracy.reports.comparison import wording as compared_wording
from attnexport.accuracy.reports.comparison.wording import SHARE, Group
from attnexport.accuracy.reports.html.pages import render_page
from attnexport.accuracy.reports.html.share_scale import length
from attnexport.accuracy.reports.wording import short_names


@dataclass(frozen=True)
class Step:
    """From one share of the budget to another, along a bar of a hundred units.

    Attributes:
        before, after: where they lie.
        outside: whether the later one is outside its budget.
    """

    before: float
    after: float
    outside: bool


@dataclass(frozen=True)
class ContenderView:
    """A contender beside its name without folders, and its figures in groups."""

    contender: ComparedContender
    name: str
    groups: tuple[Group, ...]


def render(comparison: Comparison) -> str:
    """The page, to be written as UTF-8. Names from files are text in it, never markup."""
    names = short_names([contender.name for contender in comparison.contenders])
    views = [
        ContenderView(contender, names[contender.name], tuple(compared_wording.groups_of(contender)))
        for contender in comparison.contenders
    ]
    return render_page(
        "comparison.html.jinja",
        comparison=comparison,
        title=PurePath(comparison.after.model).name or comparison.after.model,
        contenders=views,
        hazards=compared_wording.hazards_of(comparison),
        headline=compared_wording.headline(comparison),
        spelled=compared_wording.spelled,
        changed=compared_wording.changed,
        layers_sentence=compared_wording.layers_sentence,
        step_of=_step,
    )


def _step(row: Compared, figures: str) -> Step | None:
    """What a row of shares is drawn as, None where it is of something else or of one run."""
    if figures != SHARE or row.before is None or row.after is None:
        return None
    if not (row.before.judged and row.after.judged):
        return None
    return Step(_at(row.before), _at(row.after), not row.after.passed)


def _at(figure: Figure) -> float:
    return 100 * length(math.inf if math.isnan(figure.value) else figure.value)
