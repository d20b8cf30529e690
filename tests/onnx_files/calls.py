"""Calls of every operator as small modules, for tests of what they become in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import attnexport
from attnexport.variants.registry import all_variants


class Call(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        lengths: Tensor | None = None,
        start: Tensor | None = None,
        first: Tensor | None = None,
        bias: Tensor | None = None,
    ):
        biased = {} if bias is None else {"bias": bias}
        return self.function(q, k, v, kv_lengths=lengths, q_start=start, kv_start=first, **biased)


def krause(q, k, v, **options):
    sigma = torch.linspace(1.0, 2.0, q.shape[1], dtype=q.dtype)
    return attnexport.krause_attention(q, k, v, sigma, **options)


def hla(q, k, v, factors=2, **options):
    def features(x, r):
        return x[..., :4].abs() + 0.1 * r

    return attnexport.hadamard_linear_attention(
        [features(q, r) for r in range(factors)], [features(k, r) for r in range(factors)], v, **options
    )


def ssa(q, k, v, **options):
    coupling = torch.tensor(20.0, dtype=q.dtype)
    alpha = torch.linspace(0.1, 0.3, q.shape[1], dtype=q.dtype)
    return attnexport.selective_synchronization_attention(0.3 * q, 0.3 * k, k, v, coupling, alpha, **options)


def affine(q, k, v, **options):
    return attnexport.affine_scaled_attention(q, k, v, q[..., 0].sigmoid(), 0.1 * q[..., 1], **options)


def topn(q, k, v, **options):
    return attnexport.top_n_attention(q, k, v, 3, **options)


@dataclass(frozen=True)
class Case:
    """An operator with its options."""

    name: str
    operator: Callable[..., Tensor]
    options: dict[str, Any] = field(default_factory=dict)

    def module(self, causal: bool) -> Call:
        return Call(lambda q, k, v, **lengths: self.operator(q, k, v, causal=causal, **self.options, **lengths))


CASES = [
    Case("krause", krause),
    Case("krause_top_k", krause, {"top_k": 3}),
    Case("krause_window", krause, {"window": 4}),
    Case("krause_window_top_k", krause, {"window": 20, "top_k": 5}),
    Case("krause_window_prefix", krause, {"window": 4, "prefix": 3}),
    Case("krause_window_prefix_top_k", krause, {"window": 3, "prefix": 2, "top_k": 4}),
    Case("hla_1", hla, {"factors": 1}),
    Case("hla_2", hla),
    Case("hla_3", hla, {"factors": 3}),
    Case("ssa", ssa),
    Case("ssa_top_k", ssa, {"top_k": 3}),
    Case("affine", affine),
    Case("topn", topn),
    Case("topn_aggregate", topn, {"renormalize": False}),
]

_MADE = {case.operator.__name__ for case in CASES}
CASES += [
    Case(variant.name, getattr(attnexport, variant.reference.__name__))
    for variant in all_variants()
    if variant.name not in _MADE
]
"""The variants that have no function above are called with q, k and v alone."""


def tensors(batch, heads, kv_heads, rows, keys, width=8, value_width=5, dtype=torch.float32, seed=0):
    """q, k and v."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return (
        draw(batch, heads, rows, width),
        draw(batch, kv_heads, keys, width),
        draw(batch, kv_heads, keys, value_width),
    )


def lengths(*values: int) -> Tensor:
    """kv_lengths, q_start or kv_start."""
    return torch.tensor(values, dtype=torch.int32)
