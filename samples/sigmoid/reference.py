"""Sigmoid attention in PyTorch (arXiv 2409.04431)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.variants.rows import Rows


@dataclass(frozen=True)
class SigmoidRows(Rows):
    """Rows whose weights are sigmoid(score + bias) over visible keys."""

    bias: float

    def weights(self, part: slice) -> Tensor:
        weights, mask = torch.sigmoid(self.scores(part) + self.bias), self.mask(part)
        return weights if mask is None else weights.masked_fill(~mask, 0.0)


def sigmoid_attention(
    q: Tensor, k: Tensor, v: Tensor,
    scale: float, bias: float, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator."""
    rows = SigmoidRows.of(q, k, v, causal, kv_lengths, q_start, kv_start, scale=scale, bias=bias)
    return rows.attend().to(v.dtype)
