"""Krause attention in PyTorch (arXiv 2602.11534): softmax over a neighbourhood's top-k of a Gaussian kernel.

Computed by the identity softmax((q_i . k_j - |k_j|^2 / 2) / sigma^2), which equals the normalised
exp(-|q_i - k_j|^2 / 2 sigma^2) without ever forming that exponential, which underflows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnexport.variants.blocks import block_rows, block_starts, gather_keys, unblock_rows
from attnexport.variants.dense import (
    compute_dtype,
    group_heads,
    masked_softmax,
    per_head,
    row_chunks,
    top_k_mask,
    zero_hidden,
)
from attnexport.variants.krause.neighbourhood import Grid, grid_candidates, grid_mask, window_mask
from attnexport.variants.visibility import row_positions, visible_counts


def _scores(q: Tensor, k: Tensor, sigma: Tensor) -> Tensor:
    """(..., rows, D) and (..., keys, D) to (..., rows, keys)."""
    key_bias = 0.5 * k.square().sum(-1)[..., None, :]
    return (q @ k.transpose(-1, -2) - key_bias) / sigma.square()


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _dense_mask(
    rows: int, keys: int, window: int, grid: Grid | None, causal: bool, kv_lengths: Tensor | None,
    q_start: Tensor | None, device: torch.device,
) -> Tensor | None:  # fmt: skip
    mask = None
    if causal or kv_lengths is not None:
        counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=device)
        mask = torch.arange(keys, device=device) < counts[:, None, :, None]
    if window:
        mask = _both(mask, window_mask(row_positions(rows, keys, q_start, device), keys, window))
    if grid is not None:
        mask = _both(mask, grid_mask(grid, device)[None, None])
    return mask


def _weights(q: Tensor, k: Tensor, sigma: Tensor, top_k: int, mask: Tensor | None) -> Tensor:
    scores = _scores(q, k, sigma)
    if top_k:
        mask = top_k_mask(scores, top_k, mask)
    return masked_softmax(scores, mask)


def _attend_all(q: Tensor, k: Tensor, v: Tensor, sigma: Tensor, top_k: int, mask: Tensor | None) -> Tensor:
    """Rows against every key: q (B, Hkv, G, N, D), k and v (B, Hkv, 1, M, D), mask (B or 1, 1, N, M)."""
    rows, keys = q.shape[-2], k.shape[-2]
    per_row = q.shape[0] * q.shape[1] * q.shape[2] * keys
    return torch.cat(
        [
            _weights(q[..., part, :], k, sigma, top_k, None if mask is None else mask[:, :, None, part]) @ v
            for part in row_chunks(rows, per_row, q.device)
        ],
        dim=-2,
    )


def _attend_window(
    q: Tensor, k: Tensor, v: Tensor, sigma: Tensor, window: int, top_k: int, counts: Tensor, causal: bool,
    q_start: Tensor | None,
) -> Tensor:  # fmt: skip
    """Block by block: rows of a block share the run of keys that their windows cover together."""
    rows, keys, device = q.shape[-2], k.shape[-2], q.device
    block = min(max(16, window), max(rows, 1))
    reach_ahead = block if causal else block + window - 1
    starts = block_starts(rows, keys, block, q_start, device)
    index = starts[..., None] + torch.arange(1 - window, reach_ahead, device=device)
    positions = starts[..., None] + torch.arange(block, device=device)
    last = block_rows(counts[..., None], block)
    mask = (index[..., None, :] >= 0) & (index[..., None, :] < last)
    mask = mask & ((positions[..., None] - index[..., None, :]).abs() < window)
    q_blocks = block_rows(q, block)
    sigma = sigma[..., None]
    parts = []
    per_block = q.shape[0] * q.shape[1] * q.shape[2] * block * index.shape[-1]
    for part in row_chunks(q_blocks.shape[-3], per_block, device):
        k_part = gather_keys(k, index[:, part])[:, :, None]
        v_part = gather_keys(v, index[:, part])[:, :, None]
        weights = _weights(q_blocks[..., part, :, :], k_part, sigma, top_k, mask[:, None, None, part])
        parts.append(weights @ v_part)
    return unblock_rows(torch.cat(parts, dim=-3), rows)


def _attend_grid(q: Tensor, k: Tensor, v: Tensor, sigma: Tensor, grid: Grid, top_k: int, counts: Tensor) -> Tensor:
    """Prefix rows against every key, cells against the prefix and their neighbours."""
    index, inside = grid_candidates(grid, q.device)
    prefix = grid.prefix
    counts = counts[:, None, None, :, None]
    every_key = torch.arange(grid.tokens, device=q.device) < counts[..., :prefix, :]
    global_rows = _attend_all(q[..., :prefix, :], k[:, :, None], v[:, :, None], sigma, top_k, every_key[:, :, 0])
    mask = inside & (index < counts[..., prefix:, :])
    cells = q[..., prefix:, None, :]
    parts = [global_rows]
    per_cell = q.shape[0] * q.shape[1] * q.shape[2] * index.shape[1] * q.shape[-1]
    for part in row_chunks(grid.cells, per_cell, q.device):
        k_part = gather_keys(k, index[None, part])[:, :, None]
        v_part = gather_keys(v, index[None, part])[:, :, None]
        weights = _weights(cells[..., part, :, :], k_part, sigma[..., None], top_k, mask[..., part, None, :])
        parts.append((weights @ v_part).squeeze(-2))
    return torch.cat(parts, dim=-2)


def grid_of(height: int, width: int, radius: int, metric: str, prefix: int) -> Grid | None:
    """The grid that the operator's arguments describe; None for a height of 0."""
    return Grid(height, width, radius, metric, prefix) if height else None


def krause_attention(
    q: Tensor, k: Tensor, v: Tensor, sigma: Tensor,
    window: int, top_k: int, causal: bool,
    grid_height: int, grid_width: int, grid_radius: int, grid_metric: str, grid_prefix: int,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator. A window, top_k or grid_height of 0 means none."""
    heads, rows = q.shape[1], q.shape[2]
    kv_heads, keys = k.shape[1], k.shape[2]
    dtype = compute_dtype(v)
    q, k, v_wide = q.to(dtype), zero_hidden(k.to(dtype), kv_lengths), zero_hidden(v.to(dtype), kv_lengths)
    scale = per_head(sigma.to(dtype), heads, kv_heads)
    grouped = group_heads(q, kv_heads)
    grid = grid_of(grid_height, grid_width, grid_radius, grid_metric, grid_prefix)
    counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=q.device)
    if grid is not None:
        out = _attend_grid(grouped, k, v_wide, scale, grid, top_k, counts)
    elif window and window < keys:
        out = _attend_window(grouped, k, v_wide, scale, window, top_k, counts, causal, q_start)
    else:
        mask = _dense_mask(rows, keys, window, None, causal, kv_lengths, q_start, q.device)
        out = _attend_all(grouped, k[:, :, None], v_wide[:, :, None], scale, top_k, mask)
    return out.flatten(1, 2).to(v.dtype)


def krause_weights(
    q: Tensor, k: Tensor, v: Tensor, sigma: Tensor,
    window: int, top_k: int, causal: bool,
    grid_height: int, grid_width: int, grid_radius: int, grid_metric: str, grid_prefix: int,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Dense weights (B, H, N, M) of the operator, in the compute type."""
    dtype = compute_dtype(v)
    heads, kv_heads = q.shape[1], k.shape[1]
    grid = grid_of(grid_height, grid_width, grid_radius, grid_metric, grid_prefix)
    mask = _dense_mask(q.shape[2], k.shape[2], window, grid, causal, kv_lengths, q_start, q.device)
    scale = per_head(sigma.to(dtype), heads, kv_heads)
    grouped = group_heads(q.to(dtype), kv_heads)
    wide_mask = None if mask is None else mask[:, :, None]
    weights = _weights(grouped, zero_hidden(k.to(dtype), kv_lengths)[:, :, None], scale, top_k, wide_mask)
    return weights.flatten(1, 2)
