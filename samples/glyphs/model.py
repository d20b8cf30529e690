"""A pre-norm vision transformer of six layers of width 192 for glyphs of 28x28 pixels, with any attention block in it.

The function topn() builds the untrained model, for
``attnexport convert samples/glyphs/topn.safetensors --model samples.glyphs.model:topn``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import attnexport
from samples.digits.model import Block
from samples.glyphs.data import CLASSES, SIDE

DIM, HEADS, DEPTH = 192, 6, 6
PATCH = 4
CELLS = SIDE // PATCH

AttentionFactory = Callable[[int, int], nn.Module]
"""(dim, heads) to a block x (B, N, dim) -> (B, N, dim)."""

VARIANTS: dict[str, AttentionFactory] = {
    "topn": lambda dim, heads: attnexport.TopNAttention(dim, heads, n=16),
}


class GlyphTransformer(nn.Module):
    """4x4 patches as 49 tokens behind a class token, whose last state is classified."""

    def __init__(self, attention: AttentionFactory) -> None:
        super().__init__()
        self.embed = nn.Linear(PATCH * PATCH, DIM)
        self.class_token = nn.Parameter(torch.zeros(1, 1, DIM))
        self.positions = nn.Parameter(0.3 * torch.randn(1, CELLS * CELLS + 1, DIM))
        self.blocks = nn.Sequential(*(Block(DIM, attention(DIM, HEADS)) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 28, 28), grey values 0 to 1, to logits (B, 62)."""
        patches = image.reshape(-1, CELLS, PATCH, CELLS, PATCH).transpose(2, 3).reshape(-1, CELLS * CELLS, PATCH**2)
        tokens = torch.cat([self.class_token.expand(patches.shape[0], -1, -1), self.embed(patches)], dim=1)
        x = self.norm(self.blocks(tokens + self.positions))
        logits: Tensor = self.head(x[:, 0])
        return logits


def build(variant: str) -> GlyphTransformer:
    """The untrained model of one of VARIANTS."""
    return GlyphTransformer(VARIANTS[variant])


def topn() -> GlyphTransformer:
    """Softmax attention that keeps the sixteen largest weights of each row."""
    return build("topn")
