"""Affine-scaled self-attention as a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnexport.variants.affine.op import affine_scaled_attention
from attnexport.variants.bias import shown
from attnexport.variants.options import choice, finite_or_none, share
from attnexport.variants.self_attention import SelfAttention
from attnexport.variants.visibility import Visibility, present_keys, visible_counts, visible_mask

DENOMINATORS = ("visible", "total")


class AffineScaledAttention(SelfAttention):
    """Self-attention block with affine-scaled attention (arXiv 2602.23057, eqs. 6 to 11).

        alpha = clip(0.1 (x W_alpha) + 0.5, 0, 1)      beta = (alpha_ma - alpha) / n

    with alpha_ma an exponential moving average of alpha per head: updated in training, before use and without a
    gradient, frozen in eval. Tokens outside kv_start .. kv_lengths do not enter it.

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads. Default: None, heads.
        scale: factor on the scores. Default: None, width ** -0.5.
        causal: row i sees no key after its position. Default: False.
        denominator: n is the number of keys the row sees ("visible", the same in training and decoding), or all
            M ("total", the paper's letter). Default: "visible".
        rho: weight of the past in the moving average, 0 to 1. Default: 0.9.

    Raises:
        ValueError: an argument of another type or out of its range, in one line that names it.
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
        super().__init__(dim, heads, kv_heads, causal)
        self.scale = finite_or_none("scale", scale)
        self.denominator = choice("denominator", denominator, DENOMINATORS)
        self.rho = share("rho", rho)
        self.alpha_proj = nn.Linear(dim, heads, bias=False)
        nn.init.zeros_(self.alpha_proj.weight)
        self.register_buffer("alpha_ma", torch.zeros(heads))

    def _update_average(self, alpha: Tensor, visibility: Visibility[Tensor]) -> None:
        alpha = alpha.detach().to(self.alpha_ma.dtype)
        present = present_keys(alpha.shape[2], visibility, alpha.device)
        if present is None:
            mean = alpha.mean(dim=(0, 2))
        else:
            mean = torch.where(present[:, None], alpha, 0.0).sum(dim=(0, 2)) / present.sum().clamp(min=1)
        self.alpha_ma.mul_(self.rho).add_(mean, alpha=1.0 - self.rho)

    def _visible(self, x: Tensor, visibility: Visibility[Tensor], bias: Tensor | None) -> Tensor:
        """How many keys every row sees, at least 1, to divide (B, H, N) by."""
        tokens = x.shape[1]
        if bias is None:
            return visible_counts(tokens, tokens, visibility, x.device).clamp(min=1)[:, None]
        mask = visible_mask(tokens, tokens, visibility, x.device)
        seen = shown(bias) if mask is None else mask & shown(bias)
        return seen.sum(-1).clamp(min=1)

    def attend(self, x: Tensor, bias: Tensor | None = None, **bounds: Any) -> Tensor:
        visibility = Visibility(**bounds)
        alpha = (0.1 * self.alpha_proj(x) + 0.5).clamp(0.0, 1.0).transpose(1, 2)
        if self.training:
            self._update_average(alpha, visibility)
        counts = self._visible(x, visibility, bias) if self.denominator == "visible" else x.shape[1]
        beta = (self.alpha_ma.to(x.dtype)[:, None] - alpha) / counts
        return affine_scaled_attention(*self.project(x), alpha, beta, scale=self.scale, bias=bias, **bounds)
