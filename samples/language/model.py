"""A small causal character model with any attention block in it.

The functions krause(), hla() and affine() build the untrained models, for
``attnexport convert WEIGHTS.pt --model samples.language.model:krause``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

import attnexport

DIM, HEADS, DEPTH = 64, 4, 3
KERNEL = 4
VOCABULARY = 97
"""Token 0 is any other character, 1 to 95 are printable ASCII from the space on, 96 is the newline."""

AttentionFactory = Callable[[int, int], nn.Module]
"""(dim, heads) to a causal block x (B, N, dim) -> (B, N, dim)."""

VARIANTS: dict[str, AttentionFactory] = {
    "krause": lambda dim, heads: attnexport.KrauseAttention(dim, heads, window=32, causal=True),
    "hla": lambda dim, heads: attnexport.HadamardLinearAttention(dim, heads, factors=2, features=8, causal=True),
    "affine": lambda dim, heads: attnexport.AffineScaledAttention(dim, heads, causal=True),
}


class Block(nn.Module):
    """A short causal convolution for the order of the characters, attention, and an MLP, each added to its input."""

    def __init__(self, dim: int, attention: nn.Module) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, dim, KERNEL, groups=dim)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 3 * dim), nn.GELU(), nn.Linear(3 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, dim) to (B, N, dim)."""
        x = x + self.convolution(F.pad(x.transpose(1, 2), (KERNEL - 1, 0))).transpose(1, 2)
        x = x + self.attention(self.attention_norm(x))
        mixed: Tensor = x + self.mlp(self.mlp_norm(x))
        return mixed


class CharacterModel(nn.Module):
    """Predicts every next character from those before it; any length, positions come from the convolutions."""

    def __init__(self, attention: AttentionFactory, *, dim: int = DIM, heads: int = HEADS, depth: int = DEPTH):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, dim)
        self.blocks = nn.Sequential(*(Block(dim, attention(dim, heads)) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, N) int64 to logits (B, N, 97)."""
        logits: Tensor = self.head(self.norm(self.blocks(self.embed(tokens))))
        return logits


def build(variant: str) -> CharacterModel:
    """The untrained model of one of VARIANTS."""
    return CharacterModel(VARIANTS[variant])


def krause() -> CharacterModel:
    """Krause attention over the last 32 characters."""
    return build("krause")


def hla() -> CharacterModel:
    """Causal Hadamard linear attention with two kernel factors of eight features."""
    return build("hla")


def affine() -> CharacterModel:
    """Causal affine-scaled attention."""
    return build("affine")
