"""Affine-scaled self-attention as a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnexport.variants.affine.op import affine_scaled_attention
from attnexport.variants.heads import head_width, merge_heads, split_heads
from attnexport.variants.visibility import visible_counts

DENOMINATORS = ("visible", "total")


class AffineScaledAttention(nn.Module):
    """Self-attention block with affine-scaled attention (arXiv 2602.23057, eqs. 6 to 11).

        alpha = clip(0.1 (x W_alpha) + 0.5, 0, 1)      beta = (alpha_ma - alpha) / n

    with alpha_ma an exponential moving average of alpha per head: updated in training, before use and without a
    gradient, frozen in eval. Tokens past kv_lengths do not enter it.

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads. Default: None, heads.
        scale: factor on the scores. Default: None, width ** -0.5.
        causal: row i sees no key after its position. Default: False.
        denominator: n is the number of keys the row sees ("visible", the same in training and decoding), or all
            M ("total", the paper's letter). Default: "visible".
        rho: weight of the past in the moving average. Default: 0.9.
    """

    alpha_ma: Tensor

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        scale: float | None = None,
        causal: bool = False,
        denominator: str = "visible",
        rho: float = 0.9,
    ) -> None:
        super().__init__()
        if denominator not in DENOMINATORS:
            raise ValueError(f"denominator: expected one of {', '.join(DENOMINATORS)}, given {denominator!r}")
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        width = head_width(dim, heads, self.kv_heads)
        self.scale, self.causal, self.denominator, self.rho = scale, causal, denominator, rho
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, self.kv_heads * width)
        self.v_proj = nn.Linear(dim, self.kv_heads * width)
        self.out_proj = nn.Linear(dim, dim)
        self.alpha_proj = nn.Linear(dim, heads, bias=False)
        nn.init.zeros_(self.alpha_proj.weight)
        self.register_buffer("alpha_ma", torch.zeros(heads))

    def _update_average(self, alpha: Tensor, kv_lengths: Tensor | None) -> None:
        alpha = alpha.detach().to(self.alpha_ma.dtype)
        if kv_lengths is None:
            mean = alpha.mean(dim=(0, 2))
        else:
            valid = (torch.arange(alpha.shape[2], device=alpha.device) < kv_lengths[:, None])[:, None]
            mean = torch.where(valid, alpha, 0.0).sum(dim=(0, 2)) / valid.sum().clamp(min=1)
        self.alpha_ma.mul_(self.rho).add_(mean, alpha=1.0 - self.rho)

    def forward(self, x: Tensor, *, kv_lengths: Tensor | None = None, q_start: Tensor | None = None) -> Tensor:
        """x (B, N, d) to (B, N, d); kv_lengths and q_start int32 (B,)."""
        alpha = (0.1 * self.alpha_proj(x) + 0.5).clamp(0.0, 1.0).transpose(1, 2)
        if self.training:
            self._update_average(alpha, kv_lengths)
        tokens = x.shape[1]
        counts: Tensor | int = tokens
        if self.denominator == "visible":
            counts = visible_counts(
                tokens, tokens, causal=self.causal, kv_lengths=kv_lengths, q_start=q_start, device=x.device
            ).clamp(min=1)[:, None]
        beta = (self.alpha_ma.to(x.dtype)[:, None] - alpha) / counts
        out = affine_scaled_attention(
            split_heads(self.q_proj(x), self.heads),
            split_heads(self.k_proj(x), self.kv_heads),
            split_heads(self.v_proj(x), self.kv_heads),
            alpha,
            beta,
            scale=self.scale,
            causal=self.causal,
            kv_lengths=kv_lengths,
            q_start=q_start,
        )
        projected: Tensor = self.out_proj(merge_heads(out))
        return projected
