"""Histogram of the absolute errors of one output on one kind of inputs, laid out for an SVG drawing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from attnexport.accuracy.check.budget import Budget
from attnexport.accuracy.errors.measures import KindErrors
from attnexport.accuracy.reports.html.axes import Frame, LogAxis, Tick
from attnexport.accuracy.reports.wording import number
from attnexport.messages import count

FRAME = Frame(width=340, height=190, left=40, right=322, top=22, bottom=152)
_EXACT = 34.0
"""Width of the place for elements without any error, left of the axis."""


@dataclass(frozen=True)
class Bar:
    """A bin, or the part of it on one side of the budget.

    Attributes:
        x, y, width, height: its place.
        outside: whether its errors are above the budget.
        title: what it counts, for a tooltip.
    """

    x: float
    y: float
    width: float
    height: float
    outside: bool
    title: str


@dataclass(frozen=True)
class HistogramPlot:
    """The drawing.

    Attributes:
        kind: name of the kind of inputs.
        bars: of errors.
        exact: the bar of elements without any error, or None.
        limit: where the budget is, None when nothing is allowed.
        errors, counts: ticks of the horizontal and the vertical axis.
        summary: what it shows, for those who do not see it.
    """

    kind: str
    bars: tuple[Bar, ...]
    exact: Bar | None
    limit: float | None
    errors: tuple[Tick, ...]
    counts: tuple[Tick, ...]
    summary: str
    frame: Frame = FRAME


def histogram_plot(kind: KindErrors) -> HistogramPlot | None:
    """Lays the drawing out, None for integers, booleans and outputs without a finite element."""
    histogram, budget = kind.histogram, kind.budget
    if budget is None or not (histogram.counts or histogram.exact):
        return None
    tallest = max(*histogram.counts, histogram.exact, 1)
    heights = LogAxis(math.log10(0.5), len(str(tallest)), FRAME.bottom, FRAME.top)
    start = FRAME.left + (_EXACT if histogram.exact else 0)
    axis = LogAxis.of_decades([*histogram.edges, budget.limit], start, FRAME.right)
    exact = None
    if histogram.exact:
        y = heights.at(histogram.exact)
        title = f"{count(histogram.exact, 'element')} without error"
        exact = Bar(FRAME.left + 4, y, 14, FRAME.bottom - y, False, title)
    return HistogramPlot(
        kind=kind.kind,
        bars=tuple(_bars(kind, budget, axis, heights)),
        exact=exact,
        limit=axis.at(budget.limit) if budget.limit > 0 else None,
        errors=axis.ticks(5),
        counts=heights.ticks(4),
        summary=f"Absolute errors of {count(kind.elements, 'element')}: the largest is {number(kind.largest_error)}, "
        f"allowed is {number(budget.limit)}.",
    )


def _bars(kind: KindErrors, budget: Budget, axis: LogAxis, heights: LogAxis) -> Iterator[Bar]:
    """The bins; the one that the budget cuts is two bars when errors of it are outside."""
    edges = kind.histogram.edges
    over = kind.judged and kind.largest_error > budget.limit
    for (low, high), amount in zip(itertools.pairwise(edges), kind.histogram.counts, strict=True):
        if not amount:
            continue
        y = heights.at(amount)
        title = f"{count(amount, 'element')} with an error from {number(low)} to {number(high)}"
        cuts = [low, high]
        if low < budget.limit < high and over:
            cuts.insert(1, budget.limit)
        for left, right in itertools.pairwise(cuts):
            x, end = axis.at(left), axis.at(right)
            outside = left >= budget.limit and over
            yield Bar(x, y, max(end - x - 0.8, 0.4), FRAME.bottom - y, outside, title)
