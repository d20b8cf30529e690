"""What can go wrong in a call of Krause attention."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from attnexport.variants.bias import bias_of_rows, grouped_bias, shown
from attnexport.variants.dense import group_heads, per_head, row_chunks
from attnexport.variants.hazards import Figure, ScoreSums
from attnexport.variants.krause.neighbourhood import grid_mask, window_mask
from attnexport.variants.krause.reference import grid_of
from attnexport.variants.visibility import Visibility, first_keys, key_runs, row_positions


def measure(
    q: Tensor, k: Tensor, v: Tensor, sigma: Tensor,
    window: int, top_k: int, causal: bool,
    grid_height: int, grid_width: int, grid_radius: int, grid_metric: str, grid_prefix: int,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None, prefix: int = 0,
    *, precision: torch.dtype,
) -> tuple[Figure, ...]:  # fmt: skip
    """Largest score inside the neighbourhoods, before and after the division by sigma², rows without keys, ties."""
    batch, heads, rows, _ = q.shape
    kv_heads, keys = k.shape[1], k.shape[2]
    runs = key_runs(rows, keys, Visibility(causal, kv_lengths, q_start, kv_start), q.device)
    positions = row_positions(rows, keys, q_start, q.device)
    prefix_end = first_keys(keys, kv_start, q.device) + prefix
    grid = grid_of(grid_height, grid_width, grid_radius, grid_metric, grid_prefix)
    on_grid = None if grid is None else grid_mask(grid, q.device)

    queries, wide = group_heads(q.double(), kv_heads), k.double()[:, :, None]
    variance = per_head(sigma.double().square(), heads, kv_heads)
    sums = ScoreSums(heads, precision, keep=top_k)
    for part in _parts(rows, keys, window, batch * heads, q.device):
        first, last = _reach(positions[:, part], window, keys)
        first = 0 if prefix else first
        near = wide[..., first:last, :]
        columns = torch.arange(first, last, device=q.device)
        mask = runs.part(part).hold(columns)[:, None]
        if window:
            seen = window_mask(positions[:, part] - first, last - first, window)
            if prefix:
                seen = seen | (columns < prefix_end)[:, None, None]
            mask = mask & seen
        if on_grid is not None:
            mask = mask & on_grid[part]
        dots = queries[..., part, :] @ near.transpose(-1, -2) - 0.5 * near.square().sum(-1)[..., None, :]
        scores = dots / variance
        if bias is not None:
            of_rows = bias_of_rows(grouped_bias(bias, kv_heads, scores.dtype), part)[..., first:last]
            scores = scores + of_rows
            mask = mask & shown(of_rows).flatten(1, 2)
        sums.add(scores.flatten(1, 2), mask, torch.maximum(dots.abs(), scores.abs()).flatten(1, 2))
    return sums.figures()


def _parts(rows: int, keys: int, window: int, heads: int, device: torch.device) -> Iterator[slice]:
    """Rows that are measured at once: a window's length at most, so that they look at few keys."""
    block = max(128, window) if window else max(rows, 1)
    for start in range(0, rows, block):
        length = min(block, rows - start)
        for part in row_chunks(length, heads * min(length + 2 * block, keys), device):
            yield slice(start + part.start, start + part.stop)


def _reach(positions: Tensor, window: int, keys: int) -> tuple[int, int]:
    """The run of keys that the windows of rows at these positions cover, all keys without a window."""
    if not window or not positions.numel():
        return 0, keys
    first = min(max(int(positions.min()) - window + 1, 0), keys)
    return first, max(min(int(positions.max()) + window, keys), first)
