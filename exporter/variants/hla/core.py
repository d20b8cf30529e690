"""Hadamard linear attention in layers of other libraries."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from attnexport.variants.core import AttentionCore, Operands, Site
from attnexport.variants.hla.module import FEATURE_MAPS, TIES, FeatureMap
from attnexport.variants.hla.op import hadamard_linear_attention
from attnexport.variants.options import choice, not_negative, whole_number


class HadamardLinearCore(AttentionCore):
    """Linear attention over features of the layer's queries and keys, whose maps are new.

    Args:
        site: the layer.
        factors, features, feature_map, tie, eps: as in :class:`attnexport.HadamardLinearAttention`.

    Raises:
        ValueError: an option of another type or out of its range, in one line that names it.
    """

    no_neutral: ClassVar[str] = "products of finitely many features are no exponential"

    def __init__(
        self,
        site: Site,
        *,
        factors: int = 2,
        features: int = 16,
        feature_map: str = "softplus",
        tie: str = "none",
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.factors, width = whole_number("factors", factors), whole_number("features", features)
        kind, tied = choice("feature_map", feature_map, FEATURE_MAPS), choice("tie", tie, TIES)
        self.eps = not_negative("eps", eps)

        def maps(count: int, heads: int) -> nn.ModuleList:
            return nn.ModuleList(FeatureMap(heads, site.width, width, kind) for _ in range(count))

        self.query_maps = maps(self.factors if tied == "none" else 1, site.heads)
        self.key_maps = maps(1 if tied == "all" else self.factors, site.kv_heads)

    def _factors(self, maps: nn.ModuleList, x: Tensor) -> list[Tensor]:
        features = [feature_map(x) for feature_map in maps]
        return features * (self.factors // len(features))

    def attend(self, operands: Operands) -> Tensor:
        queries = self._factors(self.query_maps, operands.q)
        keys = self._factors(self.key_maps, operands.k)
        return hadamard_linear_attention(queries, keys, operands.v, eps=self.eps, **vars(operands.visibility))
