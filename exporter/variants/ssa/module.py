"""Selective synchronization self-attention as a module."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnexport.variants.options import count_or_none, not_negative, positive
from attnexport.variants.self_attention import AttentionBlock, split_heads
from attnexport.variants.ssa.op import selective_synchronization_attention


def _inverse_softplus(value: float) -> float:
    return value + math.log(-math.expm1(-value))


class SelectiveSynchronizationAttention(AttentionBlock):
    """Self-attention block with selective synchronization attention (arXiv 2602.14445).

    With the paper's initialisation every token locks only to itself and no gradient reaches any other pair. Here
    the frequency projection starts at (2 width / 3)^-1/2 of PyTorch's default, so that the squared distance of
    two independent unit-variance tokens is about 1, and coupling and decay start where such pairs are locked.

    Args:
        dim: model width d, a multiple of heads.
        heads: heads H.
        kv_heads: key and value heads; with fewer than heads the queries get a projection of their own.
            Default: None, heads.
        top_k, causal, eps: as in :func:`attnexport.selective_synchronization_attention`.
        coupling: initial K = softplus(coupling_hat), > 0. Default: 8.
        alpha: initial decay per head, softplus(alpha_hat), > 0. Default: 0.5.

    Raises:
        ValueError: an argument of another type or out of its range, in one line that names it.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        top_k: int | None = None,
        causal: bool = False,
        coupling: float = 8.0,
        alpha: float = 0.5,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(dim, heads, kv_heads, causal)
        self.top_k, self.eps = count_or_none("top_k", top_k), not_negative("eps", eps)
        kv_width = self.kv_heads * self.width
        self.omega_proj = nn.Linear(dim, kv_width)
        self.query_omega_proj = nn.Linear(dim, dim) if self.kv_heads != heads else None
        self.theta_proj = nn.Linear(dim, kv_width)
        self.v_proj = nn.Linear(dim, kv_width)
        self.out_proj = nn.Linear(dim, dim)
        self.coupling_hat = nn.Parameter(torch.tensor(_inverse_softplus(positive("coupling", coupling))))
        self.alpha_hat = nn.Parameter(torch.full((heads,), _inverse_softplus(positive("alpha", alpha))))
        with torch.no_grad():
            for projection in (self.omega_proj, self.query_omega_proj):
                if projection is not None:
                    projection.weight.mul_((2.0 * self.width / 3.0) ** -0.5)
                    projection.bias.mul_((2.0 * self.width / 3.0) ** -0.5)

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        omega = split_heads(self.omega_proj(x), self.kv_heads)
        queries = omega
        if self.query_omega_proj is not None:
            queries = split_heads(self.query_omega_proj(x), self.heads)
        return selective_synchronization_attention(
            queries,
            omega,
            split_heads(self.theta_proj(x), self.kv_heads),
            split_heads(self.v_proj(x), self.kv_heads),
            F.softplus(self.coupling_hat),
            F.softplus(self.alpha_hat),
            top_k=self.top_k,
            eps=self.eps,
            **visibility,
        )
