"""What a variant computes between the projections of a layer that is another library's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from attnexport.variants.visibility import Visibility


@dataclass(frozen=True)
class Site:
    """The layer that a core is for.

    Attributes:
        dim: width of the layer's input.
        heads, kv_heads: query heads, and key and value heads.
        width: of a query or key head.
    """

    dim: int
    heads: int
    kv_heads: int
    width: int


@dataclass(frozen=True)
class Operands:
    """What a layer hands to its core.

    Attributes:
        q, k, v: (B, H, N, Dk), (B, Hkv, M, Dk) and (B, Hkv, M, Dv).
        x: what the queries were projected from, (B, N, dim).
        scale: the layer's factor on its scores.
        visibility: which keys its rows see.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    x: Tensor
    scale: float
    visibility: Visibility[Tensor]


class AttentionCore(nn.Module):
    """A variant in place of softmax attention: the operator, its options, and the parameters that it adds.

    Its constructor takes the site, and the variant's options by keyword, which it checks. The neutral setting is that
    in which the variant is softmax attention with the layer's scale; a class without one says why in ``no_neutral``.

    Attributes:
        layer: path of the layer, for messages.
        is_neutral: whether calls are of the neutral setting, whatever the options and parameters are.
    """

    no_neutral: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.layer = ""
        self.is_neutral = False

    def forward(self, operands: Operands) -> Tensor:
        """(B, H, N, Dv)."""
        return self.neutral(operands) if self.is_neutral else self.attend(operands)

    def attend(self, operands: Operands) -> Tensor:
        """The variant, (B, H, N, Dv)."""
        raise NotImplementedError

    def neutral(self, operands: Operands) -> Tensor:
        """The variant's operator where it is softmax attention, (B, H, N, Dv)."""
        raise NotImplementedError
