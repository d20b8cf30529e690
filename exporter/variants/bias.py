"""The bias that some variants add to their scores: relative positions, ALiBi, and masks that are no run of keys.

A bias is (B or 1, H or 1, N or 1, M) and stays so: it is added a few rows at a time, never expanded to (B, H, N, M).
Where it is HIDING_BIAS or less, -inf too, the row does not see the key; rows that see no key are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

HIDING_BIAS = -3.0e4
"""The largest bias that hides a key: a mask in half precision holds -65504 at least."""


def grouped_bias(bias: Tensor, kv_heads: int, dtype: torch.dtype) -> Tensor:
    """(B or 1, H or 1, N or 1, M) to (B or 1, Hkv or 1, G or 1, N or 1, M)."""
    wide = bias.to(dtype)
    if bias.shape[1] == 1:
        return wide[:, :, None]
    grouped: Tensor = wide.unflatten(1, (kv_heads, bias.shape[1] // kv_heads))
    return grouped


def bias_of_rows(bias: Tensor, part: slice) -> Tensor:
    """That of some rows, (..., rows or 1, M)."""
    return bias if bias.shape[-2] == 1 else bias[..., part, :]


def shown(bias: Tensor) -> Tensor:
    """True where a bias does not hide the key, NaN included."""
    return ~(bias <= HIDING_BIAS)


def bias_at(bias: Tensor, index: Tensor) -> Tensor:
    """That of R rows, or blocks of rows, at keys of their own: (B or 1, Hkv or 1, G or 1, R, K).

    Args:
        bias: (B or 1, Hkv or 1, G or 1, R or 1, M).
        index: key numbers, int64 (B or 1, R, K); those outside 0 .. M - 1 are clipped, the caller masks them.
    """
    index = index.clamp(0, bias.shape[-1] - 1)[:, None, None]
    batch = max(bias.shape[0], index.shape[0])
    wide = bias.expand(batch, *bias.shape[1:])
    index = index.expand(batch, *bias.shape[1:3], -1, -1)
    if bias.shape[-2] != 1:
        return wide.gather(-1, index)
    picked: Tensor = wide[..., 0, :].gather(-1, index.flatten(-2)).unflatten(-1, index.shape[-2:])
    return picked
