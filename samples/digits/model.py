"""A small pre-norm vision transformer for 8x8 digits, with any attention block in it.

The functions krause(), hla(), ssa(), affine() and topn() build the five untrained models, for
``attnexport convert WEIGHTS.pt --model samples.digits.model:krause``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import attnexport

DIM, HEADS, DEPTH = 48, 4, 4
SIDE, PATCH, CLASSES = 8, 2, 10
CELLS = SIDE // PATCH

AttentionFactory = Callable[[int, int, int], nn.Module]
"""(dim, heads, layer) to a block x (B, N, dim) -> (B, N, dim)."""

VARIANTS: dict[str, AttentionFactory] = {
    "krause": lambda dim, heads, layer: attnexport.KrauseAttention(
        dim, heads, grid=attnexport.Grid(CELLS, CELLS, 1), top_k=3 + layer
    ),
    "hla": lambda dim, heads, layer: attnexport.HadamardLinearAttention(dim, heads, factors=2, features=8),
    "ssa": lambda dim, heads, layer: attnexport.SelectiveSynchronizationAttention(dim, heads),
    "affine": lambda dim, heads, layer: attnexport.AffineScaledAttention(dim, heads),
    "topn": lambda dim, heads, layer: attnexport.TopNAttention(dim, heads, n=6),
}


class Block(nn.Module):
    """Attention and an MLP, each behind a layer norm and added to its input."""

    def __init__(self, dim: int, attention: nn.Module) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, dim) to (B, N, dim)."""
        x = x + self.attention(self.attention_norm(x))
        mixed: Tensor = x + self.mlp(self.mlp_norm(x))
        return mixed


class DigitTransformer(nn.Module):
    """2x2 patches of an 8x8 image as 16 tokens behind a class token, whose last state is classified."""

    def __init__(self, attention: AttentionFactory, *, dim: int = DIM, heads: int = HEADS, depth: int = DEPTH):
        super().__init__()
        self.embed = nn.Linear(PATCH * PATCH, dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(0.3 * torch.randn(1, CELLS * CELLS + 1, dim))
        self.blocks = nn.Sequential(*(Block(dim, attention(dim, heads, layer)) for layer in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 8, 8), grey values 0 to 1, to logits (B, 10)."""
        patches = image.reshape(-1, CELLS, PATCH, CELLS, PATCH).transpose(2, 3).reshape(-1, CELLS * CELLS, PATCH**2)
        tokens = torch.cat([self.class_token.expand(patches.shape[0], -1, -1), self.embed(patches)], dim=1)
        x = self.norm(self.blocks(tokens + self.positions))
        logits: Tensor = self.head(x[:, 0])
        return logits


def build(variant: str) -> DigitTransformer:
    """The untrained model of one of VARIANTS."""
    return DigitTransformer(VARIANTS[variant])


def krause() -> DigitTransformer:
    """Krause attention on a 4x4 grid: each cell sees its 3x3 surroundings, and more of them with depth."""
    return build("krause")


def hla() -> DigitTransformer:
    """Hadamard linear attention with two kernel factors of eight features."""
    return build("hla")


def ssa() -> DigitTransformer:
    """Selective synchronization attention."""
    return build("ssa")


def affine() -> DigitTransformer:
    """Affine-scaled attention."""
    return build("affine")


def topn() -> DigitTransformer:
    """Softmax attention that keeps the six largest weights of each row."""
    return build("topn")
