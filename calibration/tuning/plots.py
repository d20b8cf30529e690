"""Sensitivity of layers, and files by size and error, laid out for SVG drawings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from attnexport.accuracy.reports.html.axes import Frame, LogAxis, Tick
from attnexport.accuracy.reports.wording import number
from attnexport.calibration.tuning.result import MeasuredPlan, Tuning
from attnexport.calibration.tuning.wording import measured_text
from attnexport.display.amounts import size
from attnexport.messages import count

SHAPES = ("circle", "square", "diamond", "triangle", "cross")
"""One for each candidate, in their order."""

_STEP, _FEWEST = 26.0, 22
"""Width of a layer, and how many a drawing has room for at least."""
_LAYERS = Frame(width=0, height=420, left=56, right=0, top=20, bottom=250)
_ALLOWED = 64.0
"""Width of the word beside the bound, right of a plot."""
_PLANS = Frame(width=920, height=380, left=64, right=920 - _ALLOWED, top=24, bottom=316)
_LONGEST_LABEL = 24
_LETTER, _LINE, _BESIDE = 7.6, 16.0, 11.0
"""Width of a letter of 13 px, height of its line, and how far a label begins from its point."""
_TICKS = 5


@dataclass(frozen=True)
class Point:
    """A figure on a drawing.

    Attributes:
        x, y: its place.
        shape: one of SHAPES.
        chosen: whether it is what was written.
        title: what it is, for a tooltip.
        behind: whether another beats it.
    """

    x: float
    y: float
    shape: str
    chosen: bool
    title: str
    behind: bool = False


@dataclass(frozen=True)
class Label:
    """Words beside a point.

    Attributes:
        x, y: where they begin or end, on their line.
        anchor: ``start`` or ``end``.
        text: the words.
    """

    x: float
    y: float
    anchor: str
    text: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        width = _LETTER * len(self.text)
        left = self.x if self.anchor == "start" else self.x - width
        return left, self.y - _LINE + 4, left + width, self.y + 4

    def meets(self, other: Label) -> bool:
        """Whether they lie over one another."""
        left, top, right, bottom = self.box
        others = other.box
        return left < others[2] and others[0] < right and top < others[3] and others[1] < bottom


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes:
        frame: where it has its plot.
        points: in order.
        labels: of those that have room for them.
        line: path through the points that nothing beats; empty without.
        limit: where the allowed error is; None without.
        across, up: ticks of the horizontal and the vertical axis.
        axis: what the horizontal axis shows; empty for names.
        summary: what it shows, for those who do not see it.
    """

    frame: Frame
    points: tuple[Point, ...]
    labels: tuple[Label, ...]
    line: str
    limit: float | None
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    axis: str
    summary: str


def sensitivity_plot(found: Tuning) -> Plot:
    """Each layer's error in each candidate alone, in the file's order."""
    step = max(_STEP, _STEP * _FEWEST / len(found.layers))
    right = _LAYERS.left + step * len(found.layers)
    frame = Frame(right + _ALLOWED, _LAYERS.height, _LAYERS.left, right, _LAYERS.top, _LAYERS.bottom)
    bound = found.bounds.max_error
    errors = [measured.error for layer in found.layers for measured in layer.alone.values()]
    axis = LogAxis.of_decades([*errors, bound or 0.0], frame.bottom, frame.top)
    points = []
    for position, layer in enumerate(found.layers):
        for name, measured in layer.alone.items():
            points.append(
                Point(
                    x=frame.left + (position + 0.5) * step,
                    y=_height(axis, measured.error, frame),
                    shape=SHAPES[found.candidates.index(name)],
                    chosen=layer.candidate == name,
                    title=f"{layer.name} alone in {name}: {measured_text(measured)}",
                )
            )
    names = tuple(
        Tick(frame.left + (position + 0.5) * step, _shortened(layer.name))
        for position, layer in enumerate(found.layers)
    )
    worst = max(found.layers, key=lambda layer: max((one.error for one in layer.alone.values()), default=0.0))
    summary = (
        f"Error of the outputs with one of {count(len(found.layers), 'layer')} in a candidate; largest {worst.name}."
    )
    return Plot(frame, tuple(points), (), "", _limit(axis, bound), names, axis.ticks(), "", summary)


def size_plot(found: Tuning) -> Plot:
    """The files that were measured, by the bytes of their weights and their error."""
    return _plans_plot(found, found.plans, [plan.weight_bytes for plan in found.plans], "size of the weights")


def time_plot(found: Tuning) -> Plot | None:
    """The files that were timed, by milliseconds and error; None where none was."""
    timed = [plan for plan in found.plans if plan.milliseconds is not None]
    times = [plan.milliseconds or 0.0 for plan in timed]
    return _plans_plot(found, timed, times, "milliseconds of a run") if timed else None


def _plans_plot(found: Tuning, plans: Sequence[MeasuredPlan], amounts: Sequence[float], axis: str) -> Plot:
    frame, bound, largest = _PLANS, found.bounds.max_error, 1.06 * max(amounts)
    up = LogAxis.of_decades([*(plan.measured.error for plan in plans), bound or 0.0], frame.bottom, frame.top)
    in_bytes = axis.startswith("size")

    def x(amount: float) -> float:
        return frame.left + amount / largest * (frame.right - frame.left)

    def said(amount: float) -> str:
        return size(round(amount)) if in_bytes else number(amount)

    chosen = None if found.chosen is None else found.chosen.candidates
    points = [
        Point(
            x=x(amount),
            y=_height(up, plan.measured.error, frame),
            shape="circle",
            chosen=plan.candidates == chosen,
            title=f"{plan.title}: {said(amount)}, {measured_text(plan.measured)}",
            behind=not plan.on_front,
        )
        for plan, amount in zip(plans, amounts, strict=True)
    ]
    best = sorted((point for point in points if not point.behind), key=lambda point: point.x) if in_bytes else []
    line = "".join(
        f"{f'H{point.x:.1f}V' if index else f'M{point.x:.1f} '}{point.y:.1f}" for index, point in enumerate(best)
    )
    ticks = tuple(Tick(x(amount), said(amount).replace(".0 ", " ")) for amount in _round_amounts(largest, in_bytes))
    summary = f"{count(len(plans), 'file')} by {axis} and error of the outputs."
    words = ["chosen" if plan.candidates == chosen else plan.title for plan in plans]
    labels = _labels([(point, text) for point, text in zip(points, words, strict=True) if text != "mixed"], frame)
    return Plot(frame, tuple(points), labels, line, _limit(up, bound), ticks, up.ticks(), axis, summary)


def _labels(wanted: Sequence[tuple[Point, str]], frame: Frame) -> tuple[Label, ...]:
    """Beside their points, the chosen one's first; those that would lie over others are left out."""
    placed: list[Label] = []
    for point, text in sorted(wanted, key=lambda pair: not pair[0].chosen):
        for across, down in ((_BESIDE, -8.0), (-_BESIDE, -8.0), (_BESIDE, 18.0), (-_BESIDE, 18.0)):
            label = Label(point.x + across, point.y + down, "start" if across > 0 else "end", text)
            left, top, right, bottom = label.box
            inside = frame.left <= left and right <= frame.right and frame.top - _LINE <= top and bottom <= frame.bottom
            if inside and not any(label.meets(other) for other in placed):
                placed.append(label)
                break
    return tuple(placed)


def _height(axis: LogAxis, error: float, frame: Frame) -> float:
    if not math.isfinite(error):
        return frame.top
    return axis.at(error) if error > 0 else frame.bottom


def _limit(axis: LogAxis, bound: float | None) -> float | None:
    return axis.at(bound) if bound else None


def _round_amounts(largest: float, in_bytes: bool) -> list[float]:
    """Amounts from 0 up that are short to write, a few of them."""
    unit = 1024.0 ** max(0, int(math.log(max(largest, 1.0), 1024))) if in_bytes else 1.0
    rough = largest / unit / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough) * unit
    return [step * index for index in range(1, int(largest / step) + 1)]


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"…{name[1 - _LONGEST_LABEL :]}"
