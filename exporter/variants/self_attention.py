"""Self-attention blocks: projections to heads, the variant's operator, and the heads joined and projected again."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from attnexport.variants.options import count_or_none, flag, whole_number


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * width) to (B, heads, N, width)."""
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, N, width) to (B, N, heads * width)."""
    return x.transpose(1, 2).flatten(-2)


class AttentionBlock(nn.Module):
    """Self-attention with projections of the variant's own, the last of which is ``out_proj``.

    Its text, ``repr``, has the arguments that build it again. A variant keeps each of its own as an attribute of the
    same name, or adds it to ``arguments``.

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads. Default: None, heads.
        causal: row i sees no key after its position. Default: False.

    Raises:
        ValueError: an argument of another type or out of its range, in one line that names it.
    """

    out_proj: nn.Linear

    def __init__(self, dim: int, heads: int, kv_heads: int | None = None, causal: bool = False) -> None:
        super().__init__()
        self.dim, self.heads = whole_number("dim", dim), whole_number("heads", heads)
        self.kv_heads = count_or_none("kv_heads", kv_heads) or self.heads
        if self.dim % self.heads:
            raise ValueError(f"heads: expected a divisor of dim={dim}, given {heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: expected a divisor of heads={heads}, given {kv_heads}")
        self.width = self.dim // self.heads
        self.causal = flag("causal", causal)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, as they are now, without those that only start what is learned."""
        names = inspect.signature(type(self)).parameters
        grouped = None if self.kv_heads == self.heads else self.kv_heads
        return {name: grouped if name == "kv_heads" else getattr(self, name) for name in names if hasattr(self, name)}

    def extra_repr(self) -> str:
        """What builds the module again but for its state: ``dim=64, heads=4, window=32``, without what is default."""
        parameters = inspect.signature(type(self)).parameters
        shown = (item for item in self.arguments().items() if item[1] != parameters[item[0]].default)
        return ", ".join(f"{name}={value!r}" for name, value in shown)

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        """x (B, N, d) to the operator's (B, H, N, width); the visibility is causal and what forward is given."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        *,
        kv_lengths: Tensor | None = None,
        q_start: Tensor | None = None,
        kv_start: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """x (B, N, d) to (B, N, d); kv_lengths, q_start and kv_start int32 (B,), bias (B or 1, H or 1, N or 1, N)."""
        biased = {} if bias is None else {"bias": bias}
        out = self.attend(x, causal=self.causal, kv_lengths=kv_lengths, q_start=q_start, kv_start=kv_start, **biased)
        projected: Tensor = self.out_proj(merge_heads(out))
        return projected


class SelfAttention(AttentionBlock):
    """Self-attention with one projection each for queries, keys, values and the result."""

    def __init__(self, dim: int, heads: int, kv_heads: int | None = None, causal: bool = False) -> None:
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
