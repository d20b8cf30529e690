"""How far two arrays are apart: one rule for NaN and infinity, wherever outputs, weights or layers are compared.

Both are equal to themselves and infinitely far from anything else. The script that a device runs has a copy of the rule
(attnexport.accuracy.recorded.standalone), as it imports nothing of this package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def distances(given: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """|given - expected| of every element, in float64 and never NaN.

    Args:
        given, expected: of one shape and any types of numbers, bool and bfloat16 among them.
    """
    wide, exact = given.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.abs(wide - exact)
    same = (wide == exact) | (np.isnan(wide) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(far), np.inf, far))


def differing(given: NDArray[Any], expected: NDArray[Any]) -> int:
    """How many elements are not equal, to the last digit of integers that float64 does not hold."""
    equal = given == expected
    if given.dtype.kind not in "biu":
        equal |= np.isnan(given) & np.isnan(expected)
    return int(equal.size - np.count_nonzero(equal))


def largest_distance(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest of the distances, 0 without elements; infinite for arrays of different shapes."""
    return float(distances(given, expected).max(initial=0.0)) if given.shape == expected.shape else np.inf


def relative_l2(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """‖given - expected‖₂ / ‖expected‖₂ of arrays of one shape, the second over the elements that are finite."""
    error = float(np.linalg.norm(distances(given, expected)))
    exact = expected.astype(np.float64)
    return share_of(error, float(np.linalg.norm(exact[np.isfinite(exact)])))


def share_of(error: float, reference: float) -> float:
    """A norm of errors as a share of the reference's; the norm itself where the reference is zero."""
    return error / reference if reference > 0 else error
