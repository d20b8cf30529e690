"""Which keys a query row sees: one rule for every variant, in torch and in ONNX.

With L_b = min(kv_lengths[b], M) or M, and s_b = q_start[b] or M - N,

    visible(b, i, j) = j < L_b and (not causal or j <= s_b + i)

so that with neither given, causal attention is aligned to the bottom-right corner.
Row i therefore sees the keys 0 .. visible_count(b, i) - 1, a prefix of the keys.

A NaN in a row's query or in a key that it sees makes the row NaN, selected or not. A NaN value makes its column NaN in
the rows that weigh it; rows that see or select others may follow, since 0 times NaN is NaN. Beyond L_b nothing counts.
"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from attnexport.variants.body import Body


def row_positions(rows: int, keys: int, q_start: Tensor | None, device: torch.device) -> Tensor:
    """Position of every query row among the keys, shape (B or 1, N), int64."""
    offsets = torch.arange(rows, device=device)
    if q_start is None:
        return (offsets + (keys - rows))[None]
    return q_start.to(device=device, dtype=torch.int64)[:, None] + offsets


def visible_counts(
    rows: int,
    keys: int,
    *,
    causal: bool,
    kv_lengths: Tensor | None,
    q_start: Tensor | None,
    device: torch.device,
) -> Tensor:
    """Number of keys every row sees, shape (B or 1, N), int64, between 0 and M."""
    counts = torch.full((1, rows), keys, dtype=torch.int64, device=device)
    if kv_lengths is not None:
        lengths = kv_lengths.to(device=device, dtype=torch.int64).clamp(0, keys)
        counts = torch.minimum(counts, lengths[:, None])
    if causal:
        ends = row_positions(rows, keys, q_start, device) + 1
        counts = torch.minimum(counts, ends).clamp(min=0)
    return counts


def visible_mask(
    rows: int,
    keys: int,
    *,
    causal: bool,
    kv_lengths: Tensor | None,
    q_start: Tensor | None,
    device: torch.device,
) -> Tensor | None:
    """Boolean (B or 1, 1, N, M), true where the row sees the key; None when every row sees every key."""
    if not causal and kv_lengths is None:
        return None
    counts = visible_counts(rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start, device=device)
    return torch.arange(keys, device=device) < counts[:, None, :, None]


def onnx_row_positions(body: Body, rows: ir.Value, keys: ir.Value, q_start: ir.Value | None) -> ir.Value:
    """ONNX counterpart of row_positions: int64 (B or 1, N) from the int64 scalars N and M."""
    offsets = body.arange(rows)
    if q_start is None:
        start = body.op("Sub", keys, rows)
        return body.op("Unsqueeze", body.op("Add", offsets, start), body.ints([0]))
    starts = body.op("Unsqueeze", body.cast(q_start, ir.DataType.INT64), body.ints([1]))
    return body.op("Add", starts, offsets)


def onnx_visible_counts(
    body: Body,
    rows: ir.Value,
    keys: ir.Value,
    *,
    causal: bool,
    kv_lengths: ir.Value | None,
    q_start: ir.Value | None,
) -> ir.Value:
    """ONNX counterpart of visible_counts: int64 (B or 1, N or 1)."""
    counts = body.op("Reshape", keys, body.ints([1, 1]))
    if kv_lengths is not None:
        lengths = body.op("Unsqueeze", body.cast(kv_lengths, ir.DataType.INT64), body.ints([1]))
        counts = body.op("Max", body.op("Min", counts, lengths), body.integer(0))
    if causal:
        positions = onnx_row_positions(body, rows, keys, q_start)
        ends = body.op("Add", positions, body.integer(1))
        counts = body.op("Max", body.op("Min", counts, ends), body.integer(0))
    return counts


def onnx_visible_mask(
    body: Body,
    rows: ir.Value,
    keys: ir.Value,
    *,
    causal: bool,
    kv_lengths: ir.Value | None,
    q_start: ir.Value | None,
) -> ir.Value | None:
    """ONNX counterpart of visible_mask: boolean (B or 1, 1, N or 1, M), or None."""
    if not causal and kv_lengths is None:
        return None
    counts = onnx_visible_counts(body, rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start)
    return body.op("Less", body.arange(keys), body.op("Unsqueeze", counts, body.ints([1, 3])))
