"""Top-N self-attention as a module."""

from __future__ import annotations

from torch import Tensor, nn

from attnexport.variants.heads import head_width, merge_heads, split_heads
from attnexport.variants.topn.op import top_n_attention


class TopNAttention(nn.Module):
    """Self-attention block that keeps the n largest weights of each row (the selection of arXiv 2602.01893).

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        n: keys kept per row.
        kv_heads: key and value heads. Default: None, heads.
        scale, renormalize, causal: as in :func:`attnexport.top_n_attention`.
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
        super().__init__()
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        width = head_width(dim, heads, self.kv_heads)
        self.n, self.scale, self.renormalize, self.causal = n, scale, renormalize, causal
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, self.kv_heads * width)
        self.v_proj = nn.Linear(dim, self.kv_heads * width)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, *, kv_lengths: Tensor | None = None, q_start: Tensor | None = None) -> Tensor:
        """x (B, N, d) to (B, N, d); kv_lengths and q_start int32 (B,)."""
        out = top_n_attention(
            split_heads(self.q_proj(x), self.heads),
            split_heads(self.k_proj(x), self.kv_heads),
            split_heads(self.v_proj(x), self.kv_heads),
            self.n,
            scale=self.scale,
            renormalize=self.renormalize,
            causal=self.causal,
            kv_lengths=kv_lengths,
            q_start=q_start,
        )
        projected: Tensor = self.out_proj(merge_heads(out))
        return projected
