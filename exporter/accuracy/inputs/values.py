"""Values that inputs of some kinds hold."""

from __future__ import annotations

import torch
from torch import Tensor


def one_hot(tensor: Tensor, random: torch.Generator) -> Tensor:
    """One element of the last axis keeps the largest magnitude of the tensor, the others are zero."""
    place = torch.randint(tensor.shape[-1], (*tensor.shape[:-1], 1), generator=random)
    return torch.zeros_like(tensor).scatter_(-1, place, float(tensor.abs().max()) or 1.0)


def is_uniform(tensor: Tensor) -> bool:
    """Whether an input holds one truth value, or one whole number above zero.

    Examples often hide nothing (padding is all False) and use every key (lengths are all 6), and values like the
    example's never show whether a file reads such an input at all.
    """
    if tensor.numel() == 0 or tensor.is_floating_point() or tensor.is_complex():
        return False
    first = tensor.flatten()[0]
    return bool((tensor == first).all()) and (tensor.dtype == torch.bool or int(first) > 0)


def later_starts(tensor: Tensor, keys: int, random: torch.Generator) -> Tensor:
    """First keys (B,) from 1 on, behind all keys in the last sample of several: rows that see nothing are zero."""
    drawn = torch.randint(1, max(keys, 2), tensor.shape, generator=random)
    if tensor.numel() > 1:
        drawn[-1] = keys
    return drawn.to(tensor.dtype)


def varied(tensor: Tensor, random: torch.Generator) -> Tensor:
    """Both truth values, or whole numbers from 1, in place of the one that an input holds, and that is the largest.

    A single value becomes another, and 1 becomes 0 or 1.
    """
    if tensor.dtype == torch.bool:
        return ~tensor if tensor.numel() == 1 else torch.randint(2, tensor.shape, generator=random).bool()
    most = int(tensor.flatten()[0])
    drawn = torch.randint(min(1, most - 1), most + (tensor.numel() > 1), tensor.shape, generator=random)
    return drawn.to(tensor.dtype)
