"""Top-N self-attention as a module."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnexport.variants.options import finite_or_none, flag, whole_number
from attnexport.variants.self_attention import SelfAttention
from attnexport.variants.topn.op import top_n_attention


class TopNAttention(SelfAttention):
    """Self-attention block that keeps the n largest weights of each row (the selection of arXiv 2602.01893).

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        n: keys kept per row.
        kv_heads: key and value heads. Default: None, heads.
        scale, renormalize, causal: as in :func:`attnexport.top_n_attention`.

    Raises:
        ValueError: an argument of another type or out of its range, in one line that names it.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        n: int,
        *,
        kv_heads: int | None = None,
        scale: float | None = None,
        renormalize: bool = True,
        causal: bool = False,
    ) -> None:
        super().__init__(dim, heads, kv_heads, causal)
        self.n = whole_number("n", n)
        self.scale = finite_or_none("scale", scale)
        self.renormalize = flag("renormalize", renormalize)

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        q, k, v = self.project(x)
        return top_n_attention(q, k, v, self.n, scale=self.scale, renormalize=self.renormalize, **visibility)
