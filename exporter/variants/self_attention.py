"""Self-attention blocks: projections to heads, the variant's operator, and the heads joined and projected again."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


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


class AttentionBlock(nn.Module):
    """Self-attention with projections of the variant's own, the last of which is ``out_proj``.

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads; None for heads.
        causal: row i sees no key after its position.
    """

    out_proj: nn.Linear

    def __init__(self, dim: int, heads: int, kv_heads: int | None, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        self.width = head_width(dim, heads, self.kv_heads)
        self.causal = causal

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        """x (B, N, d) to the operator's (B, H, N, width); the visibility is causal, kv_lengths and q_start."""
        raise NotImplementedError

    def forward(self, x: Tensor, *, kv_lengths: Tensor | None = None, q_start: Tensor | None = None) -> Tensor:
        """x (B, N, d) to (B, N, d); kv_lengths and q_start int32 (B,)."""
        out = self.attend(x, causal=self.causal, kv_lengths=kv_lengths, q_start=q_start)
        projected: Tensor = self.out_proj(merge_heads(out))
        return projected


class SelfAttention(AttentionBlock):
    """Self-attention with one projection each for queries, keys, values and the result."""

    def __init__(self, dim: int, heads: int, kv_heads: int | None, causal: bool) -> None:
        super().__init__(dim, heads, kv_heads, causal)
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, self.kv_heads * self.width)
        self.v_proj = nn.Linear(dim, self.kv_heads * self.width)
        self.out_proj = nn.Linear(dim, dim)

    def queries(self, x: Tensor) -> Tensor:
        """(B, H, N, width)."""
        return split_heads(self.q_proj(x), self.heads)

    def keys(self, x: Tensor) -> Tensor:
        """(B, Hkv, N, width)."""
        return split_heads(self.k_proj(x), self.kv_heads)

    def values(self, x: Tensor) -> Tensor:
        """(B, Hkv, N, width)."""
        return split_heads(self.v_proj(x), self.kv_heads)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values."""
        return self.queries(x), self.keys(x), self.values(x)
