"""Errors gathered batch by batch: the same as NumPy's on whole arrays, in pieces of bounded size."""

from __future__ import annotations

import numpy as np
import pytest

import attnexport.accuracy.errors.pieces
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.errors.measures import KindErrors
from attnexport.accuracy.errors.sums import HistogramSums
from attnexport.accuracy.errors.tallies import WORST, ContenderTally
from attnexport.accuracy.errors.yardstick_tallies import RoundingTally, YardstickTally


def arrays(rows: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contender, reference and PyTorch."""
    random = np.random.default_rng(0)
    exact = random.standard_normal((rows, 3, 5))
    return exact + 1e-3 * random.standard_normal(exact.shape), exact, exact.astype(np.float32)


def tallied(given: np.ndarray, exact: np.ndarray, plain: np.ndarray, batches: int):
    yardstick, tally = YardstickTally(1e-6, None, None), ContenderTally()
    for number, (a, b, c) in enumerate(zip(*(np.array_split(x, batches) for x in (given, exact, plain)), strict=True)):
        yardstick.add(c, b)
        tally.add(f"batch {number}", a, b, c)
    return tally.result("normal", yardstick)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("batches", [1, 4])
def test_result_does_not_depend_on_batches_and_pieces(monkeypatch, chunk, batches):
    monkeypatch.setattr(attnexport.accuracy.errors.pieces, "CHUNK", chunk)
    given, exact, plain = arrays()
    found, errors = tallied(given, exact, plain, batches), np.abs(given - exact)
    assert found.largest_error == errors.max()
    assert found.budget.torch_error == np.abs(plain - exact).max()
    assert found.budget.floor == 1e-6 * np.abs(exact).max()
    assert found.elements == errors.size
    rows = errors.reshape(40, -1).max(1)
    assert [example.error for example in found.worst] == pytest.approx(sorted(rows, reverse=True)[:WORST])
    worst = found.worst[0]
    row = int(worst.batch.removeprefix("batch ")) * 40 // batches + worst.index[0]
    assert (row, *worst.index[1:]) == np.unravel_index(errors.argmax(), errors.shape)


def test_scalars_and_empty_outputs_are_tallied():
    value = np.float64(2.0)
    found = tallied_once(np.array(2.5), np.array(value), np.array(value))
    assert (found.largest_error, found.worst[0].index, found.worst[0].batch) == (0.5, (), "batch")
    assert tallied_once(*(np.zeros((0, 3)),) * 3).elements == 0


def tallied_once(given: np.ndarray, exact: np.ndarray, plain: np.ndarray):
    yardstick, tally = YardstickTally(1e-6, None, None), ContenderTally()
    yardstick.add(plain, exact)
    tally.add("batch", given, exact, plain)
    return tally.result("normal", yardstick)


def test_nan_is_the_worst_of_all():
    given, exact, plain = arrays()
    given[7, 1, 2] = np.nan
    given[8, 0, 0] += 100
    worst = tallied(given, exact, plain, 1).worst
    assert [example.index for example in worst[:2]] == [(7, 1, 2), (8, 0, 0)]


def test_exact_outputs_have_no_worst_examples():
    _, exact, plain = arrays()
    found = tallied(exact, exact, plain, 2)
    assert (found.worst, found.histogram.counts, found.histogram.exact) == ((), (), exact.size)


def test_histogram_counts_every_error_in_bins_that_double():
    errors = np.array([0.0, 0.25, 0.3, 0.49, 0.5, 0.9, 3.0, 0.0, 1e-30])
    sums = HistogramSums()
    for part in np.array_split(errors, 3):
        sums.add(part)
    found = sums.histogram()
    assert np.array_equal(found.edges[1:], np.multiply(found.edges[:-1], 2))
    counts, _ = np.histogram(errors[errors > 0], found.edges)
    assert (list(counts), found.exact) == (list(found.counts), 2)


@pytest.mark.parametrize(("share", "judged"), [(0.09, True), (0.11, False)])
def test_size_does_not_count_where_pytorch_itself_has_lost_its_digits(share, judged):
    exact = np.ones((4, 2))
    yardstick, tally = YardstickTally(1e-6, None, 0.1), ContenderTally()
    yardstick.add(exact + share, exact)
    tally.add("batch", exact + 1, exact, exact)
    found = tally.result("large", yardstick)
    assert (found.judged, found.passed, tally.is_outside(yardstick)) == (judged, not judged, judged)
    assert found.share == (pytest.approx(1 / (2 * share + 1e-6)) if judged else 0)
    tally.add("batch", exact * np.nan, exact, exact)
    assert not tally.result("large", yardstick).passed


def test_integers_may_differ_twice_as_often_as_in_pytorch():
    exact = np.arange(100)
    for torch_wrong, ours_wrong, passes in ((0, 0, True), (0, 1, False), (2, 4, True), (2, 5, False)):
        assert integers(exact, torch_wrong, ours_wrong, None).passed == passes


def test_integers_may_differ_in_a_tenth_of_them_however_often_pytorch_does():
    exact = np.arange(100)
    assert integers(exact, 50, 10, None).passed
    assert not integers(exact, 50, 11, None).passed
    assert integers(exact, 50, 60, Override("y", "an order of ties", limit=60)).passed
    assert not integers(exact, 50, 61, Override("y", "an order of ties", limit=60)).passed


def test_integers_that_rounding_decides_may_differ_in_a_hundredth_of_them():
    exact = np.arange(1000)
    for ours_wrong, passes in ((10, True), (11, False)):
        yardstick, tally = YardstickTally(None, None, None), ContenderTally()
        yardstick.add(exact, exact)
        tally.rounding.merge(RoundingTally.of([exact + 1], exact))
        tally.add("batch", exact + (exact < ours_wrong), exact, exact)
        assert tally.result("normal", yardstick).passed == passes


def integers(exact: np.ndarray, torch_wrong: int, ours_wrong: int, override: Override | None) -> KindErrors:
    """So many of the first numbers are wrong."""
    yardstick, tally = YardstickTally(None, override, None), ContenderTally()
    yardstick.add(exact + (exact < torch_wrong), exact)
    tally.add("batch", exact + (exact < ours_wrong), exact, exact)
    return tally.result("normal", yardstick)
