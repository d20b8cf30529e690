"""Krause self-attention as a module."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnexport.variants.bias import shown
from attnexport.variants.krause.neighbourhood import Grid, checked_grid, checked_prefix
from attnexport.variants.krause.op import krause_attention
from attnexport.variants.options import count_or_none, flag, positive
from attnexport.variants.self_attention import SelfAttention
from attnexport.variants.visibility import Visibility, visible_mask


class _SoftmaxBranch(SelfAttention):
    """Ordinary softmax self-attention with projections of its own."""

    def attend(self, x: Tensor, bias: Tensor | None = None, **visibility: Any) -> Tensor:
        q, groups = self.queries(x), self.heads // self.kv_heads
        k = self.keys(x).repeat_interleave(groups, dim=1)
        v = self.values(x).repeat_interleave(groups, dim=1)
        mask = visible_mask(x.shape[1], x.shape[1], Visibility(**visibility), x.device)
        added = mask
        if bias is not None:
            mask = shown(bias) if mask is None else mask & shown(bias)
            added = torch.where(mask, bias, torch.finfo(bias.dtype).min).to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=added)
        return out if mask is None else torch.where(mask.any(-1, keepdim=True), out, 0.0)


class KrauseAttention(SelfAttention):
    """Self-attention block with Krause attention (arXiv 2602.11534).

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads. Default: None, heads.
        window, prefix, grid, top_k, causal: as in :func:`attnexport.krause_attention`.
        sigma: initial temperature; the parameter is its logarithm. Default: 2.5.
        sigma_per_head: one temperature per head instead of one per layer. Default: False.
        softmax_branch: adds the paper's second branch for language models: softmax attention with its own
            projections, mixed per token by g = softmax([y_softmax; y_krause] W_g + b_g), which starts near
            0.8 to 0.2. Default: False.

    Raises:
        ValueError: an argument of another type or out of its range, in one line that names it.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        window: int | None = None,
        prefix: int = 0,
        grid: Grid | None = None,
        top_k: int | None = None,
        causal: bool = False,
        sigma: float = 2.5,
        sigma_per_head: bool = False,
        softmax_branch: bool = False,
    ) -> None:
        super().__init__(dim, heads, kv_heads, causal)
        self.window, self.top_k = count_or_none("window", window), count_or_none("top_k", top_k)
        self.prefix = checked_prefix(prefix, self.window)
        self.grid = checked_grid(grid, self.window)
        self.sigma_per_head = flag("sigma_per_head", sigma_per_head)
        start = math.log(positive("sigma", sigma))
        self.log_sigma = nn.Parameter(torch.full((self.heads,) if sigma_per_head else (), start))
        self.softmax_branch: _SoftmaxBranch | None = None
        self.gate: nn.Linear | None = None
        if flag("softmax_branch", softmax_branch):
            self.softmax_branch = _SoftmaxBranch(dim, heads, self.kv_heads, causal)
            self.gate = nn.Linear(2 * dim, 2)
            nn.init.normal_(self.gate.weight, std=0.01)
            with torch.no_grad():
                self.gate.bias.copy_(torch.tensor([math.log(0.8 / 0.2), 0.0]))

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "softmax_branch": self.softmax_branch is not None}

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        sight = {"window": self.window, "prefix": self.prefix, "grid": self.grid, "top_k": self.top_k, **visibility}
        return krause_attention(*self.project(x), self.log_sigma.exp(), **sight)

    def forward(
        self,
        x: Tensor,
        *,
        kv_lengths: Tensor | None = None,
        q_start: Tensor | None = None,
        kv_start: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """x (B, N, d) to (B, N, d); kv_lengths, q_start and kv_start int32 (B,), bias (B or 1, H or 1, N or 1, N).

        The bias is added in both branches.
        """
        visibility = {"kv_lengths": kv_lengths, "q_start": q_start, "kv_start": kv_start, "bias": bias}
        krause = super().forward(x, **visibility)
        if self.softmax_branch is None or self.gate is None:
            return krause
        softmax = self.softmax_branch(x, **visibility)
        mix = torch.softmax(self.gate(torch.cat([softmax, krause], dim=-1)), dim=-1)
        mixed: Tensor = mix[..., :1] * softmax + mix[..., 1:] * krause
        return mixed
