"""Where values lie on the drawings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from attnexport.accuracy.check.findings import Bisection
from attnexport.accuracy.reports.html.axes import LogAxis
from attnexport.accuracy.reports.html.histogram_plot import FRAME, histogram_plot
from attnexport.accuracy.reports.html.layer_plot import layer_plot
from tests.accuracy.reports.made_reports import failing_report


def failing_bisection() -> Bisection:
    found = failing_report().contenders[1].bisection
    assert found is not None
    return found


def test_axis_covers_its_values_in_whole_decades():
    axis = LogAxis.of_decades([3e-7, 2e-3], 0, 100)
    assert (axis.low, axis.high) == (-7, -2)
    assert axis.at(1e-7) == pytest.approx(0)
    assert axis.at(1e-2) == pytest.approx(100)
    assert axis.at(10**-4.5) == pytest.approx(50)
    assert [tick.label for tick in axis.ticks()] == ["10^−7", "10^−6", "10^−5", "10^−4", "10^−3", "10^−2"]


@pytest.mark.parametrize("values", [[], [0.0], [math.nan, math.inf], [1.0], [1e-300, 1e300], [5e-324]])
def test_axis_of_any_values_has_ends_and_few_ticks(values: list[float]):
    axis = LogAxis.of_decades(values, 10, 20)
    assert axis.low < axis.high
    assert 1 <= len(axis.ticks(5)) <= 5
    assert all(10 <= tick.at <= 20 for tick in axis.ticks(5))


def test_layer_is_drawn_above_its_budget_exactly_when_it_is_outside():
    bisection = failing_bisection()
    plot = layer_plot(bisection)
    assert plot is not None
    for layer, point in zip(bisection.layers, plot.points, strict=True):
        expected = "not-finite" if layer.not_finite else "within" if layer.passed else "outside"
        assert point.shape == expected
    guilty = [layer for layer, point in zip(bisection.layers, plot.points, strict=True) if point.guilty]
    assert guilty == [bisection.guilty]


def test_layers_without_budget_error_or_names_are_drawn():
    layer = dataclasses.replace(failing_bisection().layers[0], layer="", budget=None, largest_error=0.0)
    plot = layer_plot(Bisection((layer,) * 2000, None))
    assert plot is not None
    assert len(plot.points) == 2000
    assert plot.allowed == ""
    assert all(point.shape == "within" for point in plot.points)
    assert layer_plot(Bisection((), None)) is None


def test_bars_hold_every_element_and_their_colour_says_what_is_outside():
    errors = failing_report().contenders[1].outputs[0].kinds[2]
    assert errors.budget is not None
    plot = histogram_plot(errors)
    assert plot is not None
    assert plot.limit is not None
    assert sum(errors.histogram.counts) + errors.histogram.exact == errors.elements
    for bar in plot.bars:
        assert bar.outside == (bar.x >= plot.limit - 1e-6)
        assert FRAME.left <= bar.x <= bar.x + bar.width <= FRAME.right
        assert FRAME.top <= bar.y <= FRAME.bottom
    assert any(bar.outside for bar in plot.bars)
    assert not any(bar.outside for bar in plot.bars[: len(plot.bars) // 2])


def test_bars_are_as_tall_as_their_counts():
    errors = failing_report().contenders[0].outputs[0].kinds[0]
    plot = histogram_plot(errors)
    assert plot is not None
    counts = [amount for amount in errors.histogram.counts if amount]
    heights = [bar.height for bar in plot.bars]
    assert np.argsort(counts, kind="stable").tolist() == np.argsort(heights, kind="stable").tolist()


def test_integers_have_no_histogram():
    labels = failing_report().contenders[0].outputs[2]
    assert histogram_plot(labels.kinds[0]) is None
