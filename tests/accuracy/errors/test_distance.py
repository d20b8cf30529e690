"""One rule for how far arrays are apart, on a device too."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from attnexport.accuracy.errors.distance import differing, distances, largest_distance, relative_l2
from attnexport.accuracy.errors.measures import Spread
from attnexport.accuracy.errors.sums import ErrorSums, widened
from attnexport.accuracy.recorded import standalone

NAN, INF = np.nan, np.inf
VALUES = np.array([0.0, -0.0, 1.0, -2.5, 3e38, 1e-45, INF, -INF, NAN])


@pytest.mark.parametrize(
    ("given", "expected", "far"),
    [
        *[(NAN, NAN, 0), (INF, INF, 0), (-INF, INF, INF), (NAN, 1, INF), (1, NAN, INF), (INF, 1, INF), (NAN, INF, INF)],
        *[(0.0, -0.0, 0), (1, 3.5, 2.5), (True, False, 1), (2**63 - 1, 2**63 - 1, 0)],
    ],
)
def test_nan_and_infinity_are_equal_to_themselves_and_infinitely_far_from_the_rest(
    given: float, expected: float, far: float
):
    pair = np.array([given]), np.array([expected])
    assert distances(*pair).tolist() == [far]
    assert largest_distance(*pair) == far
    assert differing(*pair) == (far != 0)
    assert np.isinf(relative_l2(*pair)) == (far == INF)


def test_integers_differ_beyond_what_float64_holds():
    assert differing(np.array([2**62]), np.array([2**62 + 1])) == 1


def test_other_shapes_are_infinitely_far():
    assert largest_distance(np.zeros(2), np.zeros(3)) == INF


def test_nothing_is_near_nothing():
    empty = np.zeros((0, 3))
    assert (largest_distance(empty, empty), relative_l2(empty, empty), differing(empty, empty)) == (0.0, 0.0, 0)


def test_a_scalar_output_that_became_nan_is_infinitely_far():
    spread = widened(Spread("loss"), np.array(1.0), np.array(NAN))
    assert (spread.largest, spread.differing) == (INF, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_device_adds_up_what_check_does(dtype: Any):
    """Every value of VALUES beside every other; bfloat16 comes as two raw bytes, as .npz files hold it."""
    with np.errstate(over="ignore"):
        given = np.repeat(VALUES, VALUES.size).astype(dtype)
    exact = np.tile(VALUES, VALUES.size)
    stored = given.view("V2") if dtype is ml_dtypes.bfloat16 else given
    ours, theirs = ErrorSums(), standalone.Error(floating=True)
    with np.errstate(over="ignore"):
        ours.add(given, exact)
        theirs.add(standalone.widened(stored), exact)
        for sums in ours, theirs:
            assert sums.not_finite > 0
        assert (theirs.largest, theirs.not_finite) == (ours.largest_error, ours.not_finite)
        assert (theirs.elements, theirs.relative_l2) == (ours.elements, pytest.approx(ours.relative_l2, rel=1e-12))
    assert np.array_equal(distances(given, exact), standalone.distances(standalone.widened(stored), exact))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint8])
def test_a_device_counts_what_check_does(dtype: type):
    random = np.random.default_rng(0)
    given, exact = random.integers(0, 2, (2, 40)).astype(dtype)
    counted = standalone.Error(floating=False)
    counted.add(given, exact)
    assert 0 < counted.differing == differing(given, exact)
