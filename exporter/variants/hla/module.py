"""Hadamard linear self-attention as a module, and its feature maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnexport.variants.hla.op import hadamard_linear_attention
from attnexport.variants.options import choice, not_negative, whole_number
from attnexport.variants.self_attention import SelfAttention


def _exp_shifted(x: Tensor) -> Tensor:
    return torch.exp(x - x.amax(-1, keepdim=True))


NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "elu1": lambda x: F.elu(x) + 1.0,
    "relu2": lambda x: F.relu(x).square(),
    "exp": _exp_shifted,
}
"""Elementwise maps to non-negative features; "exp" subtracts the row's maximum, per token."""

FEATURE_MAPS = (*NONLINEARITIES, "mlp")
TIES = ("none", "query", "all")


class FeatureMap(nn.Module):
    """Per-head features (B, heads, N, width) to (B, heads, N, features), non-negative, scaled by features^-1/2.

    A linear map per head and a nonlinearity, or for "mlp" two layers with a GELU between and softplus at the end.
    """

    def __init__(self, heads: int, width: int, features: int, kind: str) -> None:
        super().__init__()
        self.kind = choice("feature_map", kind, FEATURE_MAPS)
        self.scale = features**-0.5
        self.weight = nn.Parameter(torch.empty(heads, width, features))
        nn.init.normal_(self.weight, std=width**-0.5)
        self.hidden: nn.Parameter | None = None
        if kind == "mlp":
            self.hidden = nn.Parameter(torch.empty(heads, width, width))
            nn.init.normal_(self.hidden, std=width**-0.5)

    def extra_repr(self) -> str:
        """Heads, widths and kind."""
        heads, width, features = self.weight.shape
        return f"heads={heads}, width={width}, features={features}, kind={self.kind!r}"

    def forward(self, x: Tensor) -> Tensor:
        if self.hidden is not None:
            x = F.gelu(x @ self.hidden)
        nonlinearity = NONLINEARITIES["softplus" if self.kind == "mlp" else self.kind]
        features: Tensor = nonlinearity(x @ self.weight) * self.scale
        return features


class HadamardLinearAttention(SelfAttention):
    """Self-attention block with Hadamard linear attention (a reconstruction of arXiv 2602.12128).

    Args:
        dim: model width d, a multiple of heads.
        heads: query heads H.
        kv_heads: key and value heads. Default: None, heads.
        factors: number R of kernel factors. Default: 2.
        features: feature width m of every factor. Default: 16.
        feature_map: "softplus", "elu1", "relu2", "exp" (shifted by the row's maximum) or "mlp" (two layers per
            head). Default: "softplus".
        tie: "none", one map per factor and side; "query", one query map for all factors; "all", one query and
            one key map, so that A = <phi(q), phi(k)>^R. Default: "none".
        causal: row i sees no key after its position. Default: False.
        eps: added to the denominator. Default: 1e-6.

    Raises:
        ValueError: an argument of another type or out of its range, in one line that names it.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        factors: int = 2,
        features: int = 16,
        feature_map: str = "softplus",
        tie: str = "none",
        causal: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(dim, heads, kv_heads, causal)
        self.factors, self.features = whole_number("factors", factors), whole_number("features", features)
        self.feature_map = choice("feature_map", feature_map, FEATURE_MAPS)
        self.tie = choice("tie", tie, TIES)
        self.eps = not_negative("eps", eps)

        def maps(count: int, heads: int) -> nn.ModuleList:
            return nn.ModuleList(FeatureMap(heads, self.width, self.features, feature_map) for _ in range(count))

        self.query_maps = maps(self.factors if tie == "none" else 1, self.heads)
        self.key_maps = maps(1 if tie == "all" else self.factors, self.kv_heads)

    def _factors(self, maps: nn.ModuleList, x: Tensor) -> list[Tensor]:
        features = [feature_map(x) for feature_map in maps]
        return features * (self.factors // len(features))

    def attend(self, x: Tensor, **visibility: Any) -> Tensor:
        queries = self._factors(self.query_maps, self.queries(x))
        keys = self._factors(self.key_maps, self.keys(x))
        return hadamard_linear_attention(queries, keys, self.values(x), eps=self.eps, **visibility)
