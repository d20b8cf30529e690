"""Error per layer, laid out for an SVG drawing."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from attnexport.accuracy.check.findings import Bisection, LayerError
from attnexport.accuracy.reports.html.axes import Frame, LogAxis, Tick
from attnexport.accuracy.reports.wording import layer_name, number
from attnexport.messages import count

FRAME = Frame(width=920, height=310, left=56, right=906, top=40, bottom=276)
_NOT_FINITE = FRAME.top - 14
_BLOCK = re.compile(r"^(?:.*?\.)?\d+(?=\.|$)")
_LETTER = 8.4
"""Width of a letter of 13 px in wide fonts."""
_LONGEST_LABEL = 14


@dataclass(frozen=True)
class Point:
    """One layer.

    Attributes:
        x, y: its place.
        shape: ``within``, ``outside`` or ``not-finite``.
        guilty: whether it is the first outside.
        title: what it is, for a tooltip.
    """

    x: float
    y: float
    shape: str
    guilty: bool
    title: str


@dataclass(frozen=True)
class LayerPlot:
    """The drawing.

    Attributes:
        points: one a layer, in topological order.
        radius: of a point.
        line: path through the points that are finite.
        allowed: path of the budgets, a step a layer.
        errors, blocks: ticks of the vertical and the horizontal axis.
        guilty_label: name of the first layer outside, empty without.
        summary: what it shows, for those who do not see it.
    """

    points: tuple[Point, ...]
    radius: float
    line: str
    allowed: str
    errors: tuple[Tick, ...]
    blocks: tuple[Tick, ...]
    guilty_label: str
    summary: str
    frame: Frame = FRAME


def layer_plot(bisection: Bisection) -> LayerPlot | None:
    """Lays the drawing out, None without layers."""
    layers = bisection.layers
    if not layers:
        return None
    step = (FRAME.right - FRAME.left) / len(layers)
    sizes = [size for layer in layers for size in (layer.largest_error, _limit(layer))]
    axis = LogAxis.of_decades(sizes, FRAME.bottom, FRAME.top)
    points = tuple(
        _point(layer, FRAME.left + (position + 0.5) * step, axis, layer == bisection.guilty)
        for position, layer in enumerate(layers)
    )
    return LayerPlot(
        points=points,
        radius=min(max(0.3 * step, 1.5), 4.5),
        line=_line([point for point in points if point.shape != "not-finite"]),
        allowed=_allowed(layers, step, axis),
        errors=axis.ticks(),
        blocks=_blocks(layers, step),
        guilty_label="" if bisection.guilty is None else layer_name(bisection.guilty),
        summary=_summary(bisection),
    )


def _line(points: Sequence[Point]) -> str:
    return "".join(f"{'L' if index else 'M'}{point.x:.1f} {point.y:.1f}" for index, point in enumerate(points))


def _limit(layer: LayerError) -> float:
    return 0.0 if layer.budget is None else layer.budget.limit


def _point(layer: LayerError, x: float, axis: LogAxis, guilty: bool) -> Point:
    name = f"{layer_name(layer)} ({layer.op})"
    if layer.not_finite or not math.isfinite(layer.largest_error):
        wrong = layer.wrong_shape or f"{count(layer.not_finite, 'value')} NaN or infinite"
        return Point(x, _NOT_FINITE, "not-finite", guilty, f"{name}: {wrong}")
    error = layer.largest_error
    title = f"{name}: largest error {number(error)}"
    if layer.budget is not None:
        title += f", allowed {number(layer.budget.limit)}"
    y = axis.at(error) if error > 0 else FRAME.bottom
    return Point(x, y, "within" if layer.passed else "outside", guilty, title)


def _allowed(layers: Sequence[LayerError], step: float, axis: LogAxis) -> str:
    """A step a layer, joined where neighbours both have a budget."""
    path, joined = [], False
    for position, layer in enumerate(layers):
        limit = _limit(layer)
        if limit > 0:
            start = FRAME.left + position * step
            path.append(f"{'L' if joined else 'M'}{start:.1f} {axis.at(limit):.1f}H{start + step:.1f}")
        joined = limit > 0
    return "".join(path)


def _blocks(layers: Sequence[LayerError], step: float) -> tuple[Tick, ...]:
    """The first layer of each block, as far as their names have room."""
    ticks: list[Tick] = []
    free = 0.0
    for block, run in itertools.groupby(range(len(layers)), lambda position: _block(layers[position])):
        at = FRAME.left + next(run) * step
        label = block if len(block) <= _LONGEST_LABEL else f"…{block[1 - _LONGEST_LABEL :]}"
        end = at + _LETTER * len(label)
        if block and at >= free and end <= FRAME.width:
            ticks.append(Tick(at, label))
            free = end + 2 * _LETTER
    return tuple(ticks)


def _block(layer: LayerError) -> str:
    """The numbered module around a layer, as ``blocks.3``, else the layer; empty for the model itself."""
    match = _BLOCK.match(layer.layer)
    return match.group() if match else layer.layer.split(".")[0]


def _summary(bisection: Bisection) -> str:
    layers = count(len(bisection.layers), "layer")
    outside = sum(not layer.passed for layer in bisection.layers)
    text = f"Largest absolute error of {layers} in topological order, beside the error that is allowed."
    if bisection.guilty is None:
        return f"{text} All are within their budgets."
    return f"{text} {outside} outside their budgets, first {layer_name(bisection.guilty)}."
