"""The model that faults are planted into, and random models without any."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import attnexport

LARGE = 1.0e5
"""Factor that takes one layer's hidden values beyond half precision, divided out again behind it."""


class Block(nn.Module):
    """Attention and an MLP, each behind a norm and added to its input."""

    def __init__(self, dim: int, attention: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), activation, nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, kv_lengths: Tensor | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), kv_lengths=kv_lengths)
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """Blocks between a projection and a head."""

    def __init__(self, dim: int, blocks: list[Block]) -> None:
        super().__init__()
        self.embed = nn.Linear(6, dim)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 5)

    def forward(self, x: Tensor, kv_lengths: Tensor | None = None) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x, kv_lengths)
        return self.head(self.norm(x))


def faultless(seed: int = 0, *, synchronizing: bool = True) -> ExportedProgram:
    """One block of every kind of attention that a fault is planted into, over 13 tokens.

    Args:
        seed: of the weights.
        synchronizing: with selective synchronization, whose square-root edge widens the budget, in block 3; else
            with affine-scaled attention.
    """
    torch.manual_seed(seed)
    dim, heads = 16, 2
    third = attnexport.SelectiveSynchronizationAttention if synchronizing else attnexport.AffineScaledAttention
    attention = (
        attnexport.KrauseAttention(dim, heads, grid=attnexport.Grid(3, 4, 1), top_k=5),
        attnexport.KrauseAttention(dim, heads, window=4, causal=True),
        attnexport.HadamardLinearAttention(dim, heads, features=3, feature_map="relu2"),
        third(dim, heads),
        attnexport.AffineScaledAttention(dim, heads, causal=True),
        attnexport.TopNAttention(dim, heads, 4),
    )
    blocks = [Block(dim, layer, nn.ReLU()) for layer in attention]
    with torch.no_grad():
        blocks[4].attention.alpha_proj.weight.normal_()
        first, last = blocks[3].mlp[0], blocks[3].mlp[2]
        for parameter, factor in ((first.weight, LARGE), (first.bias, LARGE), (last.weight, 1 / LARGE)):
            parameter.mul_(factor)
    example = torch.randn(3, 13, 6), torch.tensor([13, 9, 12], dtype=torch.int32)
    batch = Dim("batch")
    shapes = {"x": {0: batch}, "kv_lengths": {0: batch}}
    return torch.export.export(Transformer(dim, blocks).eval(), example, dynamic_shapes=shapes, strict=False)


def _krause(draw: random.Random, dim: int, heads: int, kv_heads: int) -> nn.Module:
    metric, window = draw.choice(["chebyshev", "manhattan"]), draw.choice([1, 3, 8])
    options = draw.choice([{}, {"window": window}, {"grid": attnexport.Grid(3, 4, 1, metric)}])
    return attnexport.KrauseAttention(
        dim, heads, kv_heads=kv_heads, top_k=draw.choice([None, 2, 5]), sigma_per_head=draw.random() < 0.5,
        causal="grid" not in options and draw.random() < 0.5, **options,
    )  # fmt: skip


def _hla(draw: random.Random, dim: int, heads: int, kv_heads: int) -> nn.Module:
    return attnexport.HadamardLinearAttention(
        dim, heads, kv_heads=kv_heads, factors=draw.choice([1, 2, 3]), features=draw.choice([2, 4]),
        feature_map=draw.choice(["softplus", "elu1", "exp", "mlp"]), causal=draw.random() < 0.5,
    )  # fmt: skip


def _ssa(draw: random.Random, dim: int, heads: int, kv_heads: int) -> nn.Module:
    return attnexport.SelectiveSynchronizationAttention(
        dim, heads, kv_heads=kv_heads, top_k=draw.choice([None, 3]), causal=draw.random() < 0.5
    )


def _affine(draw: random.Random, dim: int, heads: int, kv_heads: int) -> nn.Module:
    return attnexport.AffineScaledAttention(dim, heads, kv_heads=kv_heads, causal=draw.random() < 0.5)


def _topn(draw: random.Random, dim: int, heads: int, kv_heads: int) -> nn.Module:
    return attnexport.TopNAttention(
        dim, heads, draw.choice([1, 4]), kv_heads=kv_heads, renormalize=draw.random() < 0.7, causal=draw.random() < 0.5
    )


_ATTENTION: tuple[Callable[[random.Random, int, int, int], nn.Module], ...] = (_krause, _hla, _ssa, _affine, _topn)


@dataclass(frozen=True)
class RandomModel:
    """A random architecture.

    Attributes:
        program: the model.
        opset, nodes: options of its conversion.
        description: what it is, in words.
    """

    program: ExportedProgram
    opset: int
    nodes: str
    description: str


def random_model(number: int) -> RandomModel:
    """The model of that number; five in a row begin with five different variants."""
    draw = random.Random(number)
    torch.manual_seed(number)
    heads = draw.choice([1, 2, 4])
    dim = heads * draw.choice([4, 6, 8])
    kv_heads = draw.choice([size for size in (1, 2, 4) if heads % size == 0])
    kinds = [_ATTENTION[number % 5], *draw.choices(_ATTENTION, k=draw.choice([0, 0, 1, 2]))]
    blocks = [
        Block(dim, kind(draw, dim, heads, kv_heads), draw.choice([nn.GELU, nn.ReLU, nn.SiLU])()) for kind in kinds
    ]
    dtype = draw.choice([torch.float32, torch.float32, torch.float32, torch.float16])
    batch, with_lengths = draw.choice([1, 3]), draw.random() < 0.5
    lengths = torch.randint(1, 14, (batch,), dtype=torch.int32) if with_lengths else None
    x = torch.randn(batch, 13, 6).to(dtype)
    example = (x,) if lengths is None else (x, lengths)
    program = torch.export.export(Transformer(dim, blocks).to(dtype).eval(), example, strict=False)
    opset, nodes = draw.choice([17, 18, 20, 21]), draw.choice(["auto", "body"])
    layers = ", ".join(type(block.attention).__name__.removesuffix("Attention") for block in blocks)
    options = f"{str(dtype).removeprefix('torch.')}, {heads} heads on {kv_heads}, opset {opset}, {nodes}"
    return RandomModel(program, opset, nodes, f"{layers}; {options}{', with lengths' if with_lengths else ''}")
