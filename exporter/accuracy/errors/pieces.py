"""Large arrays in pieces, so that temporary float64 copies stay small."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from attnexport.accuracy.errors.sums import ErrorSums

CHUNK = 1 << 20
"""Elements that are compared at once."""


def rows(array: NDArray[Any]) -> NDArray[Any]:
    """An array (B, …) as (B, rest); a single number as one row."""
    return array.reshape(array.shape[0] if array.ndim else 1, math.prod(array.shape[1:]))


def pieces(array: NDArray[Any]) -> Iterator[slice]:
    """Rows in groups of about CHUNK elements."""
    whole = rows(array)
    step = max(1, CHUNK // max(whole.shape[1], 1))
    for start in range(0, len(whole), step):
        yield slice(start, start + step)


def errors_of(output: NDArray[Any], exact: NDArray[Any]) -> ErrorSums:
    """Errors of one batch of floating values, of equal shapes."""
    found = ErrorSums()
    for piece in pieces(exact):
        found.add(rows(output)[piece], rows(exact)[piece])
    return found
