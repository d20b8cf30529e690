"""Moving between (B, N, heads * width) and (B, heads, N, width) in the modules."""

from __future__ import annotations

from torch import Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * width) to (B, heads, N, width)."""
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, N, width) to (B, N, heads * width)."""
    return x.transpose(1, 2).flatten(-2)


def head_width(dim: int, heads: int, kv_heads: int) -> int:
    """Width of one head.

    Raises:
        ValueError: dim is not a multiple of heads, or heads not one of kv_heads.
    """
    if heads < 1 or dim % heads:
        raise ValueError(f"heads: expected a divisor of dim={dim}, given {heads}")
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"kv_heads: expected a divisor of heads={heads}, given {kv_heads}")
    return dim // heads
