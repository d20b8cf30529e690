"""Pieces the references share: the compute type, grouped heads, masked softmax, exact top-k, row chunks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from attnexport.variants.body import HIDDEN_SCORE
from attnexport.variants.visibility import Visibility, present_keys

CHUNK_ELEMENTS = {"cpu": 1 << 20}
"""Elements of an intermediate tensor that stay in the cache, per device type."""

DEFAULT_CHUNK_ELEMENTS = 1 << 26
"""The same for devices where few large operations are faster than many small ones."""


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """Type that scores and sums are held in: float64 for float64, float32 for everything narrower."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def group_heads(tensor: Tensor, kv_heads: int) -> Tensor:
    """(B, H, ...) to (B, Hkv, H / Hkv, ...)."""
    grouped: Tensor = tensor.unflatten(1, (kv_heads, tensor.shape[1] // kv_heads))
    return grouped


def zero_hidden(keys: Tensor, visibility: Visibility[Tensor]) -> Tensor:
    """(B, Hkv, M, D) with zeros outside kv_start .. kv_lengths: a cache may hold NaN there, and 0 NaN is NaN."""
    present = present_keys(keys.shape[2], visibility, keys.device)
    return keys if present is None else keys.masked_fill(~present[:, None, :, None], 0.0)


def per_head(values: Tensor, heads: int, kv_heads: int) -> Tensor:
    """A () or (H,) parameter as (Hkv, H / Hkv, 1, 1), to go with scores of grouped heads."""
    return values.reshape(-1).expand(heads).reshape(kv_heads, heads // kv_heads, 1, 1)


def row_chunks(rows: int, elements_per_row: int, device: torch.device) -> Iterator[slice]:
    """Slices of the rows that keep intermediate tensors small; one slice while gradients are recorded."""
    if torch.is_grad_enabled() or not isinstance(rows, int) or torch.compiler.is_compiling():
        yield slice(0, rows)
        return
    elements = CHUNK_ELEMENTS.get(device.type, DEFAULT_CHUNK_ELEMENTS)
    size = max(1, elements // max(1, elements_per_row))
    for start in range(0, max(rows, 1), size):
        yield slice(start, min(start + size, rows))


def top_k_mask(scores: Tensor, k: int, mask: Tensor | None) -> Tensor | None:
    """True at the k largest visible scores of each row, ties going to the lower index, and at all that are NaN.

    Args:
        scores: (..., M).
        k: how many to keep; rows with fewer visible keys keep them all.
        mask: boolean, broadcastable to scores; None when all keys are visible.
    """
    if k >= scores.shape[-1]:
        return mask
    ranked = scores.detach()
    if mask is not None:
        ranked = ranked.masked_fill(~mask, -torch.inf)
    threshold = torch.topk(ranked, k, dim=-1).values[..., -1:]
    above = ranked > threshold
    level = ranked == threshold
    room = k - above.sum(-1, keepdim=True)
    keep = above | (level & (level.cumsum(-1) <= room)) | ranked.isnan()
    return keep if mask is None else keep & mask


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis with zeros where the mask is false, and in rows where it is false throughout."""
    if mask is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~mask, HIDDEN_SCORE), dim=-1)
    return weights.masked_fill(~mask, 0.0)
