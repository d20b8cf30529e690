"""Query rows in blocks, each with the run of keys that belongs to it: how local and causal work stays linear."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def block_rows(tensor: Tensor, block: int) -> Tensor:
    """(..., N, D) to (..., blocks, block, D), the last block filled up with zeros."""
    rows = tensor.shape[-2]
    blocks = (rows + block - 1) // block
    padded = F.pad(tensor, (0, 0, 0, blocks * block - rows))
    split: Tensor = padded.unflatten(-2, (blocks, block))
    return split


def unblock_rows(tensor: Tensor, rows: int) -> Tensor:
    """(..., blocks, block, D) back to (..., N, D)."""
    return tensor.flatten(-3, -2)[..., :rows, :]


def block_starts(rows: int, keys: int, block: int, q_start: Tensor | None, device: torch.device) -> Tensor:
    """Position of each block's first row among the keys, int64 (B or 1, blocks)."""
    starts = torch.arange(0, (rows + block - 1) // block, device=device) * block
    if q_start is None:
        return (starts + (keys - rows))[None]
    return q_start.to(device=device, dtype=torch.int64)[:, None] + starts


def gather_keys(tensor: Tensor, index: Tensor) -> Tensor:
    """Picks keys per block: (B, Hkv, M, D) and int64 (B or 1, blocks, span) to (B, Hkv, blocks, span, D).

    Indices outside 0 .. M - 1 are clipped; the caller masks them.
    """
    index = index.clamp(0, tensor.shape[2] - 1)
    if index.shape[0] == 1:
        return tensor[:, :, index[0]]
    flat = index.flatten(1)[:, None, :, None].expand(-1, tensor.shape[1], -1, tensor.shape[3])
    picked: Tensor = tensor.gather(2, flat).unflatten(2, index.shape[1:])
    return picked
