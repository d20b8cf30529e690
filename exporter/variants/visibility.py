"""Which keys a query row sees: one rule for every variant, in torch and in ONNX.

With L_b = min(kv_lengths[b], M) or M, f_b = kv_start[b] or 0, and s_b = q_start[b] or M - N,

    visible(b, i, j) = f_b <= j < L_b and (not causal or j <= s_b + i)

so that with nothing given, causal attention is aligned to the bottom-right corner. Every row sees one run of keys,
low <= j < high, which may be empty: rows at negative positions s_b + i see nothing where attention is causal, and rows
that see nothing are zero.

A NaN in a row's query or in a key that it sees makes the row NaN, selected or not. A NaN value makes its column NaN in
the rows that weigh it; rows that see or select others may follow, since 0 times NaN is NaN. Before f_b and from L_b on
nothing counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from attnexport.variants.body import Body

AnyTensor = TypeVar("AnyTensor", Tensor, ir.Value)


@dataclass(frozen=True)
class Visibility(Generic[AnyTensor]):
    """What an operator's call says of which keys its rows see, in torch's tensors or in ONNX values.

    Attributes:
        causal: row i sees no key after its position.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.
    """

    causal: bool = False
    kv_lengths: AnyTensor | None = None
    q_start: AnyTensor | None = None
    kv_start: AnyTensor | None = None

    @property
    def bounded(self) -> bool:
        """Whether the keys of a sample may begin or end within the M keys."""
        return self.kv_lengths is not None or self.kv_start is not None

    @property
    def hides(self) -> bool:
        """Whether rows may see fewer than all keys."""
        return self.causal or self.bounded

    @property
    def ends_per_sample(self) -> bool:
        """Whether what rows see may end at other keys in other samples."""
        return self.kv_lengths is not None or self.q_start is not None


@dataclass(frozen=True)
class KeyRuns:
    """The run of keys that every row sees.

    Attributes:
        low: its first key, int64 (B or 1, N); None where it is 0 throughout.
        high: the key behind its last, int64 (B or 1, N), between 0 and M. Runs with high <= low are empty.
    """

    low: Tensor | None
    high: Tensor

    def part(self, rows: slice) -> KeyRuns:
        """Of some rows."""
        return replace(self, low=None if self.low is None else self.low[:, rows], high=self.high[:, rows])

    def counts(self) -> Tensor:
        """How many keys every row sees, int64 (B or 1, N)."""
        return self.high if self.low is None else (self.high - self.low).clamp(min=0)

    def hold(self, keys: Tensor) -> Tensor:
        """True where a row sees the key: boolean (B or 1, N, K) for key numbers (..., N or 1, K)."""
        below = keys < self.high[..., None]
        return below if self.low is None else below & (keys >= self.low[..., None])


def row_positions(rows: int, keys: int, q_start: Tensor | None, device: torch.device) -> Tensor:
    """Position of every query row among the keys, shape (B or 1, N), int64."""
    offsets = torch.arange(rows, device=device)
    if q_start is None:
        return (offsets + (keys - rows))[None]
    return q_start.to(device=device, dtype=torch.int64)[:, None] + offsets


def key_runs(rows: int, keys: int, visibility: Visibility[Tensor], device: torch.device) -> KeyRuns:
    """The run of keys that every one of N rows sees of M keys."""
    high, low = torch.full((1, rows), keys, dtype=torch.int64, device=device), None
    if visibility.kv_lengths is not None:
        high = torch.minimum(high, _clipped(visibility.kv_lengths, keys, device)[:, None])
    if visibility.causal:
        ends = row_positions(rows, keys, visibility.q_start, device) + 1
        high = torch.minimum(high, ends).clamp(min=0)
    if visibility.kv_start is not None:
        low = first_keys(keys, visibility.kv_start, device).expand(-1, rows)
    return KeyRuns(low, high)


def _clipped(bound: Tensor, keys: int, device: torch.device) -> Tensor:
    return bound.to(device=device, dtype=torch.int64).clamp(0, keys)


def first_keys(keys: int, kv_start: Tensor | None, device: torch.device) -> Tensor:
    """The first key of every sample of M, int64 (B or 1, 1)."""
    if kv_start is None:
        return torch.zeros((1, 1), dtype=torch.int64, device=device)
    return _clipped(kv_start, keys, device)[:, None]


def visible_counts(rows: int, keys: int, visibility: Visibility[Tensor], device: torch.device) -> Tensor:
    """Number of keys every row sees, shape (B or 1, N), int64, between 0 and M."""
    return key_runs(rows, keys, visibility, device).counts()


def visible_mask(rows: int, keys: int, visibility: Visibility[Tensor], device: torch.device) -> Tensor | None:
    """Boolean (B or 1, 1, N, M), true where the row sees the key; None when every row sees every key."""
    if not visibility.hides:
        return None
    return key_runs(rows, keys, visibility, device).hold(torch.arange(keys, device=device))[:, None]


def present_keys(keys: int, visibility: Visibility[Tensor], device: torch.device) -> Tensor | None:
    """Boolean (B, M), true from kv_start to kv_lengths; None when every key is there."""
    if not visibility.bounded:
        return None
    bounds = replace(visibility, causal=False)
    return key_runs(1, keys, bounds, device).hold(torch.arange(keys, device=device))[:, 0]


def onnx_row_positions(body: Body, rows: ir.Value, keys: ir.Value, q_start: ir.Value | None) -> ir.Value:
    """ONNX counterpart of row_positions: int64 (B or 1, N) from the int64 scalars N and M."""
    offsets = body.arange(rows)
    if q_start is None:
        start = body.op("Sub", keys, rows)
        return body.op("Unsqueeze", body.op("Add", offsets, start), body.ints([0]))
    starts = body.op("Unsqueeze", body.cast(q_start, ir.DataType.INT64), body.ints([1]))
    return body.op("Add", starts, offsets)


@dataclass(frozen=True)
class OnnxKeyRuns:
    """ONNX counterpart of KeyRuns.

    Attributes:
        low: int64 (B, 1); None where it is 0 throughout.
        high: int64 (B or 1, N or 1).
    """

    body: Body
    low: ir.Value | None
    high: ir.Value

    def counts(self) -> ir.Value:
        """How many keys every row sees, int64 (B or 1, N or 1)."""
        if self.low is None:
            return self.high
        return self.body.op("Max", self.body.op("Sub", self.high, self.low), 0)

    def hold(self, keys: ir.Value) -> ir.Value:
        """True where a row sees the key: boolean (B or 1, N or 1, K) for key numbers (..., N or 1, K)."""
        body = self.body
        below = body.op("Less", keys, body.unsqueeze(self.high, 2))
        if self.low is None:
            return below
        return body.op("And", below, body.op("GreaterOrEqual", keys, body.unsqueeze(self.low, 2)))


def onnx_key_runs(body: Body, rows: ir.Value, keys: ir.Value, visibility: Visibility[ir.Value]) -> OnnxKeyRuns:
    """ONNX counterpart of key_runs, from the int64 scalars N and M."""
    high, low = body.op("Reshape", keys, body.ints([1, 1])), onnx_key_bound(body, visibility.kv_start)
    lengths = onnx_key_bound(body, visibility.kv_lengths)
    if lengths is not None:
        high = body.op("Max", body.op("Min", high, lengths), body.integer(0))
    if visibility.causal:
        positions = onnx_row_positions(body, rows, keys, visibility.q_start)
        ends = body.op("Add", positions, body.integer(1))
        high = body.op("Max", body.op("Min", high, ends), body.integer(0))
    return OnnxKeyRuns(body, None if low is None else body.op("Max", low, 0), high)


def onnx_key_bound(body: Body, bound: ir.Value | None) -> ir.Value | None:
    """kv_lengths or kv_start as int64 (B, 1)."""
    return None if bound is None else body.unsqueeze(body.cast(bound, ir.DataType.INT64), 1)


def onnx_first_keys(body: Body, kv_start: ir.Value | None) -> ir.Value:
    """ONNX counterpart of first_keys, int64 (B or 1, 1), but not clipped to M."""
    start = onnx_key_bound(body, kv_start)
    return body.constant(np.zeros((1, 1), dtype=np.int64)) if start is None else body.op("Max", start, 0)


def onnx_visible_mask(body: Body, rows: ir.Value, keys: ir.Value, visibility: Visibility[ir.Value]) -> ir.Value | None:
    """ONNX counterpart of visible_mask: boolean (B or 1, 1, N or 1, M), or None."""
    if not visibility.hides:
        return None
    return body.unsqueeze(onnx_key_runs(body, rows, keys, visibility).hold(body.arange(keys)), 1)


def onnx_present_keys(body: Body, keys: ir.Value, visibility: Visibility[ir.Value]) -> ir.Value | None:
    """ONNX counterpart of present_keys: boolean (B, M), or None."""
    end, start = onnx_key_bound(body, visibility.kv_lengths), onnx_key_bound(body, visibility.kv_start)
    columns = body.arange(keys)
    present = None if end is None else body.op("Less", columns, end)
    if start is None:
        return present
    begun = body.op("GreaterOrEqual", columns, start)
    return begun if present is None else body.op("And", present, begun)
