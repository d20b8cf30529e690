"""ErrorSums against NumPy on whole arrays."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from attnexport.accuracy.errors.sums import ErrorSums


def sums_of(output: np.ndarray, reference: np.ndarray, pieces: int = 1) -> ErrorSums:
    sums = ErrorSums()
    for part, wanted in zip(np.array_split(output, pieces), np.array_split(reference, pieces), strict=True):
        sums.add(part, wanted)
    return sums


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_batches_add_up_to_the_whole_array(dtype, pieces):
    random = np.random.default_rng(0)
    reference = random.standard_normal((20, 3, 5)) * 10
    output = (reference + random.standard_normal(reference.shape) * 0.01).astype(dtype)
    sums = sums_of(output, reference, pieces)
    wide = output.astype(np.float64)
    assert sums.largest_error == np.abs(wide - reference).max()
    assert sums.largest_reference == np.abs(reference).max()
    assert sums.relative_l2 == pytest.approx(np.linalg.norm(wide - reference) / np.linalg.norm(reference), rel=1e-12)
    cosine = (wide * reference).sum() / np.linalg.norm(wide) / np.linalg.norm(reference)
    assert sums.cosine == pytest.approx(cosine, rel=1e-12)
    assert (sums.elements, sums.not_finite) == (reference.size, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_left_out(bad):
    reference = np.arange(6.0)
    output = reference.copy()
    output[[1, 4]] = bad
    sums = sums_of(output, reference, 2)
    assert (sums.not_finite, sums.largest_error, sums.relative_l2) == (2, 0.0, 0.0)


def test_equal_outputs_have_no_error_and_cosine_one():
    values = np.random.default_rng(0).standard_normal((4, 4))
    sums = sums_of(values, values)
    assert (sums.largest_error, sums.relative_l2) == (0.0, 0.0)
    assert sums.cosine == pytest.approx(1.0)


@pytest.mark.parametrize(("output", "relative_l2", "cosine"), [(0.0, 0.0, 1.0), (2.0, 4.0, 0.0)])
def test_zero_reference_gives_the_plain_norm(output, relative_l2, cosine):
    sums = sums_of(np.full(4, output), np.zeros(4))
    assert (sums.relative_l2, sums.cosine) == (relative_l2, cosine)


def test_opposite_outputs_have_cosine_minus_one():
    assert sums_of(np.array([-1.0, -2.0]), np.array([1.0, 2.0])).cosine == pytest.approx(-1.0)


def test_nothing_compared_is_no_error():
    sums = sums_of(np.zeros((0, 3)), np.zeros((0, 3)))
    assert (sums.elements, sums.largest_error, sums.relative_l2, sums.cosine) == (0, 0.0, 0.0, 1.0)
