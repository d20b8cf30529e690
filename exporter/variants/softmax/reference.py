"""The rows of torch's scaled_dot_product_attention, and what can go wrong in a call of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnexport.variants.dense import group_heads
from attnexport.variants.hazards import Figure, in_double, score_figures
from attnexport.variants.rows import Rows


@dataclass(frozen=True)
class MaskedRows(Rows):
    """Rows under torch's mask: boolean, or added to the scores; broadcastable to (B, Hkv, G, N, M), or None."""

    attn_mask: Tensor | None

    def _part_of_mask(self, part: slice) -> Tensor | None:
        return None if self.attn_mask is None else self.attn_mask[..., part, :]

    def scores(self, part: slice) -> Tensor:
        scores, mask = super().scores(part), self._part_of_mask(part)
        return scores if mask is None or mask.dtype == torch.bool else scores + mask

    def visible(self, part: slice) -> Tensor | None:
        visible, mask = super().visible(part), self._part_of_mask(part)
        if mask is None:
            return visible
        allowed = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        return allowed if visible is None else visible & allowed


def softmax_rows(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, is_causal: bool, scale: float | None, **_: Any
) -> MaskedRows:
    """The operator's rows; its dropout is none in a model that is used."""
    # Torch's causal mask starts at the upper left corner.
    start = torch.zeros(query.shape[0], dtype=torch.int32)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    mask = None if attn_mask is None else _grouped(attn_mask, query, key)
    return MaskedRows.of(query, key, value, is_causal, q_start=start, scale=factor, attn_mask=mask)


def _grouped(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """A mask that goes with (B, H, N, M) as one that goes with grouped heads."""
    wide = mask.expand(*query.shape[:-1], key.shape[2])
    return group_heads(wide, key.shape[1])


def measure(*, precision: torch.dtype, **call: Any) -> tuple[Figure, ...]:
    """The largest score, hidden by the mask or not."""
    rows = softmax_rows(**{**in_double(call), "attn_mask": None})
    return score_figures(rows, precision)[:1]
