"""Affine-scaled attention in layers of other libraries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnexport.variants.affine.op import affine_scaled_attention
from attnexport.variants.core import AttentionCore, Operands, Site
from attnexport.variants.visibility import visible_counts


class AffineCore(AttentionCore):
    """Affine-scaled attention whose alpha is projected from the layer's input, beta as the module has it.

    Alpha starts at one half with an average of zero, as in :class:`attnexport.AffineScaledAttention`, which also trains
    the average; here it is kept as it is loaded. Neutral where alpha is 1 and beta 0.

    Args:
        site: the layer.
    """

    alpha_ma: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.alpha_proj = nn.Linear(site.dim, site.heads, bias=False)
        nn.init.zeros_(self.alpha_proj.weight)
        self.register_buffer("alpha_ma", torch.zeros(site.heads))

    def attend(self, operands: Operands) -> Tensor:
        alpha = (0.1 * self.alpha_proj(operands.x) + 0.5).clamp(0.0, 1.0).transpose(1, 2)
        rows, keys = operands.q.shape[2], operands.k.shape[2]
        counts = visible_counts(rows, keys, operands.visibility, operands.q.device).clamp(min=1)[:, None]
        return self._of(operands, alpha, (self.alpha_ma.to(alpha.dtype)[:, None] - alpha) / counts)

    def neutral(self, operands: Operands) -> Tensor:
        ones = torch.ones_like(operands.q[..., 0])
        return self._of(operands, ones, torch.zeros_like(ones))

    def _of(self, it: Operands, alpha: Tensor, beta: Tensor) -> Tensor:
        return affine_scaled_attention(it.q, it.k, it.v, alpha, beta, scale=it.scale, **vars(it.visibility))
