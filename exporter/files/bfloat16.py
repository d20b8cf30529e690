"""bfloat16, which NumPy has no type for, as its bits: the upper half of a float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bits_of(values: NDArray[Any]) -> NDArray[np.uint16]:
    """The bits of values as bfloat16.

    Args:
        values: float32, rounded to nearest even; or ml_dtypes' bfloat16, uint16 or two raw bytes, taken as they are.
    """
    if values.dtype != np.float32:
        return np.asarray(values, order="C").view(np.uint16)
    exact = np.asarray(values, "=f4", order="C").view(np.uint32)
    # In 64 bits, because the largest pattern overflows.
    rounded = (exact.astype(np.uint64) + 0x7FFF + (exact >> 16 & 1)) >> 16
    bits: NDArray[np.uint16] = np.where(np.isnan(values), exact >> 16 | 0x40, rounded).astype(np.uint16)
    return bits


def values_of(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The values of bits, as float32."""
    upper = np.asarray(bits.astype(np.uint32) << 16)
    return upper.view(np.float32)
