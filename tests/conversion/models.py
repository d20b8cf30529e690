"""Small models for tests of the conversion."""

from __future__ import annotations

import torch
from torch import nn

import attnexport
from tests.variants.cases import MODULES

WIDTH = 16


class Stack(nn.Module):
    """Residual attention blocks with a norm before and a head behind."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(self.norm(x))
        return self.head(x)


class WithLengths(nn.Module):
    """One block that is told the lengths."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor, kv_lengths: torch.Tensor) -> torch.Tensor:
        return self.block(x, kv_lengths=kv_lengths)


class LeftPadded(nn.Module):
    """Blocks that are told where the keys begin."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor, kv_start: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x, kv_start=kv_start)
        return x


class Positioned(nn.Module):
    """Blocks with a table of relative positions, and a padding mask (batch, tokens), true where a token counts."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.slope = nn.Parameter(torch.tensor([0.3, 0.1]))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        place = torch.arange(x.shape[1])
        relative = -self.slope[:, None, None] * (place[:, None] - place).abs()
        bias = relative[None].masked_fill(~mask[:, None, None], -torch.inf)
        x = x + self.blocks[0](x, bias=bias)
        for block in self.blocks[1:]:
            x = x + block(x, bias=torch.where(mask, 0.0, -torch.inf)[:, None, None])
        return x


class Branch(nn.Module):
    """A module in one branch of a condition on the values: where their sum is positive, else they are doubled."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.cond(x.sum() > 0, lambda t: self.body(t), lambda t: t * 2, (x,))
        return result


def every_variant(causal: bool) -> Stack:
    """One block of each variant."""
    torch.manual_seed(0)
    blocks = [
        attnexport.KrauseAttention(WIDTH, 2, window=4, causal=causal),
        attnexport.HadamardLinearAttention(WIDTH, 2, features=4, causal=causal),
        attnexport.SelectiveSynchronizationAttention(WIDTH, 2, causal=causal),
        attnexport.AffineScaledAttention(WIDTH, 2, causal=causal),
        attnexport.TopNAttention(WIDTH, 2, 3, causal=causal),
    ]
    others = [kind for kind in MODULES if kind not in {type(block) for block in blocks}]
    return Stack(*blocks, *(kind(WIDTH, 2, causal=causal) for kind in others))


def example(batch: int = 2, tokens: int = 9) -> torch.Tensor:
    return torch.randn(batch, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


DYNAMIC = {"x": {0: "batch", 1: "tokens"}}
