"""Krause attention in layers of other libraries."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnexport.variants.core import AttentionCore, Operands, Site
from attnexport.variants.krause.neighbourhood import Grid, checked_grid
from attnexport.variants.krause.op import krause_attention
from attnexport.variants.options import count_or_none, flag, positive


class KrauseCore(AttentionCore):
    """Bounded-confidence attention with a learned temperature.

    Neutral where sigma is scale ** -0.5, rows see all that the layer shows them, and a component more in every key,
    where queries have zero, gives all keys one length.

    Args:
        site: the layer.
        window, grid, top_k: as in :func:`attnexport.krause_attention`.
        sigma: initial temperature; the parameter is its logarithm. Default: None, width ** 0.25, with which scores
            weigh q·k as softmax attention does.
        sigma_per_head: one temperature per head instead of one per layer. Default: False.

    Raises:
        ValueError: an option of another type or out of its range, in one line that names it.
    """

    def __init__(
        self,
        site: Site,
        *,
        window: int | None = None,
        grid: Grid | None = None,
        top_k: int | None = None,
        sigma: float | None = None,
        sigma_per_head: bool = False,
    ) -> None:
        super().__init__()
        self.window, self.top_k = count_or_none("window", window), count_or_none("top_k", top_k)
        self.grid = checked_grid(grid, self.window)
        start = math.log(site.width**0.25 if sigma is None else positive("sigma", sigma))
        self.log_sigma = nn.Parameter(
            torch.full((site.heads,) if flag("sigma_per_head", sigma_per_head) else (), start)
        )

    def attend(self, operands: Operands) -> Tensor:
        sight = {"window": self.window, "grid": self.grid, "top_k": self.top_k, **vars(operands.visibility)}
        return krause_attention(operands.q, operands.k, operands.v, self.log_sigma.exp(), **sight)

    def neutral(self, operands: Operands) -> Tensor:
        squares = operands.k.square().sum(-1, keepdim=True)
        keys = torch.cat([operands.k, (squares.amax() - squares).sqrt()], dim=-1)
        sigma = operands.q.new_tensor(operands.scale**-0.5)
        return krause_attention(F.pad(operands.q, (0, 1)), keys, operands.v, sigma, **vars(operands.visibility))
