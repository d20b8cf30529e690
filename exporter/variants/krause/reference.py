"""Krause attention in PyTorch (arXiv 2602.11534): softmax over a neighbourhood's top-k of a Gaussian kernel.

Computed by the identity softmax((q_i . k_j - |k_j|^2 / 2) / sigma^2), which equals the normalised
exp(-|q_i - k_j|^2 / 2 sigma^2) without ever forming that exponential, which underflows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnexport.variants.bias import bias_at, bias_of_rows, shown
from attnexport.variants.blocks import block_rows, block_starts, gather_keys, unblock_rows
from attnexport.variants.dense import compute_dtype, masked_softmax, per_head, row_chunks, top_k_mask
from attnexport.variants.krause.neighbourhood import Grid, grid_candidates, grid_mask, window_mask
from attnexport.variants.rows import BiasedRows
from attnexport.variants.visibility import first_keys, row_positions


def _scores(q: Tensor, k: Tensor, sigma: Tensor) -> Tensor:
    """(..., rows, D) and (..., keys, D) to (..., rows, keys)."""
    key_bias = 0.5 * k.square().sum(-1)[..., None, :]
    return (q @ k.transpose(-1, -2) - key_bias) / sigma.square()


def _weights(scores: Tensor, top_k: int, mask: Tensor | None) -> Tensor:
    return masked_softmax(scores, top_k_mask(scores, top_k, mask) if top_k else mask)


@dataclass(frozen=True)
class KrauseRows(BiasedRows):
    """Rows that weigh the top_k keys of their neighbourhood.

    Attributes:
        sigma: temperature per head (Hkv, G, 1, 1).
        positions: of the rows among the keys, int64 (B or 1, N).
        window, top_k: 0 for none.
        prefix: how many first keys all rows see beside a window.
        prefix_end: the key behind them, int64 (B or 1, 1).
        grid: None for none.
    """

    sigma: Tensor
    positions: Tensor
    window: int
    prefix: int
    prefix_end: Tensor
    top_k: int
    grid: Grid | None

    def scores(self, part: slice) -> Tensor:
        return self.biased(_scores(self.q[..., part, :], self.k, self.sigma), part)

    def mask(self, part: slice) -> Tensor | None:
        mask, near = self.visible(part), None
        if self.window:
            keys = self.k.shape[-2]
            near = window_mask(self.positions[:, part], keys, self.window)[:, :, None]
            if self.prefix:
                first = torch.arange(keys, device=self.k.device) < self.prefix_end
                near = near | first[:, None, None, None]
        elif self.grid is not None:
            near = grid_mask(self.grid, self.q.device)[part]
        return near if mask is None else mask if near is None else mask & near

    def weights(self, part: slice) -> Tensor:
        return _weights(self.scores(part), self.top_k, self.mask(part))


def _bias_in_blocks(bias: Tensor, index: Tensor, part: slice, block: int) -> Tensor:
    """That of some blocks' rows at their runs of keys (B or 1, blocks, span): (..., blocks, block or 1, span)."""
    if bias.shape[-2] == 1:
        return bias_at(bias, index)[..., None, :]
    rows = block_rows(bias, block)[..., part, :, :]
    wide = index[:, :, None].expand(-1, -1, block, -1)
    picked: Tensor = bias_at(rows.flatten(-3, -2), wide.flatten(1, 2)).unflatten(-2, wide.shape[1:3])
    return picked


def _behind(ahead: Tensor, index: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """The runs of keys of blocks, (B or 1, blocks, span), and who is near, with near keys (B or 1, s) before them."""
    batch = max(ahead.shape[0], index.shape[0])
    ahead = ahead[:, None].expand(batch, index.shape[1], -1)
    close = near.new_ones(1).expand(*near.shape[:-1], ahead.shape[-1])
    return torch.cat([ahead, index.expand(batch, -1, -1)], dim=-1), torch.cat([close, near], dim=-1)


def _attend_window(rows: KrauseRows, causal: bool, q_start: Tensor | None) -> Tensor:
    """Block by block: rows of a block share the run of keys that their windows cover together."""
    tokens, keys, device, window = rows.q.shape[-2], rows.k.shape[-2], rows.q.device, rows.window
    block = min(max(16, window), max(tokens, 1))
    reach_ahead = block if causal else block + window - 1
    starts = block_starts(tokens, keys, block, q_start, device)
    index = starts[..., None] + torch.arange(1 - window, reach_ahead, device=device)
    positions = starts[..., None] + torch.arange(block, device=device)
    last = block_rows(rows.runs.high[..., None], block)
    first = 0 if rows.runs.low is None else block_rows(rows.runs.low[..., None], block)
    near = (positions[..., None] - index[..., None, :]).abs() < window
    if rows.prefix:  # the prefix comes first, so that keys ascend, and the window goes on behind it
        ahead = rows.prefix_end - rows.prefix + torch.arange(rows.prefix, device=device)
        near = near & (index >= rows.prefix_end[:, :, None])[..., None, :]
        index, near = _behind(ahead, index, near)
    mask = near & (index[..., None, :] >= first) & (index[..., None, :] < last)
    q_blocks = block_rows(rows.q, block)
    parts = []
    per_block = rows.q.shape[0] * rows.q.shape[1] * rows.q.shape[2] * block * index.shape[-1]
    for part in row_chunks(q_blocks.shape[-3], per_block, device):
        k, v = (gather_keys(x[:, :, 0], index[:, part])[:, :, None] for x in (rows.k, rows.v))
        scores = _scores(q_blocks[..., part, :, :], k, rows.sigma[..., None])
        seen = mask[:, None, None, part]
        if rows.bias is not None:
            bias = _bias_in_blocks(rows.bias, index[:, part], part, block)
            scores, seen = scores + bias, seen & shown(bias)
        parts.append(_weights(scores, rows.top_k, seen) @ v)
    return unblock_rows(torch.cat(parts, dim=-3), tokens).flatten(1, 2)


def _attend_grid(rows: KrauseRows, grid: Grid) -> Tensor:
    """Prefix rows against every key, cells against the prefix and their neighbours."""
    index, inside = grid_candidates(grid, rows.q.device)
    prefix = grid.prefix
    first, others = slice(0, prefix), slice(prefix, None)
    bias = None if rows.bias is None else bias_of_rows(rows.bias, first)
    global_rows = replace(rows, q=rows.q[..., first, :], runs=rows.runs.part(first), bias=bias, grid=None)
    mask = inside & rows.runs.part(others).hold(index)[:, None, None]
    cells = rows.q[..., prefix:, None, :]
    parts = [global_rows.attend()]
    per_cell = rows.q.shape[0] * rows.q.shape[1] * rows.q.shape[2] * index.shape[1] * rows.q.shape[-1]
    for part in row_chunks(grid.cells, per_cell, rows.q.device):
        k, v = (gather_keys(x[:, :, 0], index[None, part])[:, :, None] for x in (rows.k, rows.v))
        scores, seen = _scores(cells[..., part, :, :], k, rows.sigma[..., None]), mask[..., part, None, :]
        if rows.bias is not None:
            of_cells = bias_of_rows(bias_of_rows(rows.bias, others), part)
            bias = bias_at(of_cells, index[None, part])[..., None, :]
            scores, seen = scores + bias, seen & shown(bias)
        weights = _weights(scores, rows.top_k, seen)
        parts.append((weights @ v).squeeze(-2).flatten(1, 2))
    return torch.cat(parts, dim=-2)


def grid_of(height: int, width: int, radius: int, metric: str, prefix: int) -> Grid | None:
    """The grid that the operator's arguments describe; None for a height of 0."""
    return Grid(height, width, radius, metric, prefix) if height else None


def krause_rows(
    q: Tensor, k: Tensor, v: Tensor, sigma: Tensor,
    window: int, top_k: int, causal: bool,
    grid_height: int, grid_width: int, grid_radius: int, grid_metric: str, grid_prefix: int,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None, prefix: int = 0,
) -> KrauseRows:  # fmt: skip
    """The operator's rows."""
    return KrauseRows.of(
        q, k, v, causal, kv_lengths, q_start, kv_start, bias,
        sigma=per_head(sigma.to(compute_dtype(v)), q.shape[1], k.shape[1]),
        positions=row_positions(q.shape[2], k.shape[2], q_start, q.device),
        window=window,
        prefix=prefix,
        prefix_end=first_keys(k.shape[2], kv_start, q.device) + prefix,
        top_k=top_k,
        grid=grid_of(grid_height, grid_width, grid_radius, grid_metric, grid_prefix),
    )  # fmt: skip


def krause_attention(
    q: Tensor, k: Tensor, v: Tensor, sigma: Tensor,
    window: int, top_k: int, causal: bool,
    grid_height: int, grid_width: int, grid_radius: int, grid_metric: str, grid_prefix: int,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None, prefix: int = 0,
) -> Tensor:  # fmt: skip
    """The operator. A window, top_k or grid_height of 0 means none."""
    grid = grid_height, grid_width, grid_radius, grid_metric, grid_prefix
    rows = krause_rows(q, k, v, sigma, window, top_k, causal, *grid, kv_lengths, q_start, kv_start, bias, prefix)
    if rows.grid is not None:
        return _attend_grid(rows, rows.grid).to(v.dtype)
    if window and window < k.shape[2]:
        return _attend_window(rows, causal, q_start).to(v.dtype)
    return rows.attend().to(v.dtype)
