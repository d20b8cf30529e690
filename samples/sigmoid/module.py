"""Sigmoid self-attention as a module."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnexport.variants.options import finite
from attnexport.variants.self_attention import SelfAttention
from attnexport.variants.sigmoid.op import sigmoid_attention


class SigmoidAttention(SelfAttention):
    """Self-attention block with sigmoid attention (arXiv 2409.04431).

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads. Default: None, heads.
        bias, causal: as in :func:`attnexport.sigmoid_attention`.
    """

    def __init__(
        self, dim: int, heads: int, *, kv_heads: int | None = None, bias: float = 0.0, causal: bool = False
    ) -> None:
        super().__init__(dim, heads, kv_heads, causal)
        self.bias = finite("bias", bias)

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        return sigmoid_attention(*self.project(x), bias=self.bias, **visibility)
