"""Pieces the ONNX bodies share: the counterparts of dense.py and blocks.py."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from attnexport.variants.bias import HIDING_BIAS
from attnexport.variants.body import HIDDEN_SCORE, Body, CallSite, Operand
from attnexport.variants.visibility import (
    OnnxKeyRuns,
    Visibility,
    onnx_key_runs,
    onnx_present_keys,
    onnx_visible_mask,
)


def size(body: Body, site: CallSite, name: str, axis: int) -> Operand:
    """Size of an input's axis: an int where it is fixed, else an int64 scalar computed when the model runs."""
    fixed = site.dim(name, axis)
    if isinstance(fixed, int):
        return fixed
    value = body.tensors(name)[0] if isinstance(site.inputs[name], tuple) else body.tensor(name)
    return body.dim(value, axis)


def repeat_heads(body: Body, value: ir.Value, heads: Operand, kv_heads: Operand) -> ir.Value:
    """(B, Hkv, M, D) to (B, H, M, D), every key head repeated for its group of query heads."""
    if heads == kv_heads:
        return value
    repeats = heads // kv_heads if isinstance(heads, int) and isinstance(kv_heads, int) else None
    count = repeats if repeats is not None else body.op("Div", heads, kv_heads)
    shape = body.vector(1, 1, count, 1, 1)
    wide = body.op("Expand", body.unsqueeze(value, 2), shape)
    width, tokens = body.dim(value, 3), body.dim(value, 2)
    return body.reshape(wide, 0, heads, tokens, width)


def visibility_of(body: Body, site: CallSite) -> Visibility[ir.Value]:
    """What a node says of which keys its rows see."""
    names = ("kv_lengths", "q_start", "kv_start")
    return Visibility(site.flag("causal"), *(body.optional(name) for name in names))


def zero_hidden(body: Body, keys: ir.Value, visibility: Visibility[ir.Value]) -> ir.Value:
    """(B, Hkv, M, D) with zeros outside kv_start .. kv_lengths: a cache may hold NaN there, and 0 NaN is NaN."""
    if not visibility.bounded:
        return keys
    present = onnx_present_keys(body, body.dim(keys, 2), visibility)
    return keys if present is None else body.hide(keys, body.unsqueeze(present, 1, 3), 0.0)


def key_operand(
    body: Body, value: ir.Value, visibility: Visibility[ir.Value], heads: Operand, kv_heads: Operand
) -> ir.Value:
    """A key-side input (B, Hkv, M, D) in the compute type, zero outside kv_start .. kv_lengths, as (B, H, M, D)."""
    return repeat_heads(body, zero_hidden(body, body.compute(value), visibility), heads, kv_heads)


class Bias:
    """The bias of a node: (B or 1, H or 1, N or 1, M) in the compute type.

    Attributes:
        value: of all rows.
        shared: whether all rows have the same, that is whether its third axis is known to be 1.
    """

    def __init__(self, body: Body, site: CallSite, value: ir.Value) -> None:
        self._body = body
        self.value = body.compute(value)
        self.shared = site.dim("bias", 2) == 1

    def of_tokens(self, start: int, stop: int) -> ir.Value:
        """That of some rows, (B or 1, H or 1, rows or 1, M)."""
        if self.shared:
            return self.value
        body = self._body
        return body.op("Slice", self.value, body.ints([start]), body.ints([stop]), body.ints([2]))

    def in_blocks(self, blocks: Blocks) -> ir.Value:
        """That of every block's rows at its run of keys, (B or 1, H or 1, blocks, block or 1, span)."""
        body, value = self._body, self.value
        batch, heads, keys = (body.dim(value, axis) for axis in (0, 1, 3))
        index = clip_index(body, blocks.index, keys)
        if blocks.per_batch:
            batch = body.op("Max", batch, body.dim(index, 0))
        if self.shared and not blocks.per_batch:
            one = body.op("Squeeze", index, body.ints([0]))
            return body.unsqueeze(body.op("Gather", body.op("Squeeze", value, body.ints([2])), one, axis=2), 3)
        if self.shared:
            wide = body.op("Expand", body.op("Squeeze", value, body.ints([2])), body.vector(batch, heads, keys))
            picked = body.op("GatherND", body.transpose(wide, 0, 2, 1), body.unsqueeze(index, 3), batch_dims=1)
            return body.unsqueeze(body.transpose(picked, 0, 3, 1, 2), 3)
        rows = blocks.rows(value, heads, keys)
        if blocks.per_batch:
            rows = body.op("Expand", rows, body.vector(batch, heads, blocks.count, blocks.block, keys))
        shape = body.vector(batch, heads, blocks.count, blocks.block, blocks.span)
        columns = body.op("Expand", body.unsqueeze(index, 1, 3), shape)
        return body.op("GatherElements", rows, columns, axis=4)

    def at(self, start: int, table: np.ndarray) -> ir.Value:
        """That of the rows from start on at keys of their own, int64 (R, K): (B or 1, H or 1, R, 1, K)."""
        body = self._body
        if self.shared:
            one = body.op("Squeeze", self.value, body.ints([2]))
            return body.unsqueeze(body.op("Gather", one, constant_index(body, table), axis=2), 3)
        rows = self.of_tokens(start, start + len(table))
        shape = body.vector(body.dim(rows, 0), body.dim(rows, 1), *table.shape)
        columns = body.op("Expand", constant_index(body, table[None, None]), shape)
        return body.unsqueeze(body.op("GatherElements", rows, columns, axis=3), 3)

    @staticmethod
    def shown(body: Body, bias: ir.Value) -> ir.Value:
        """True where a bias does not hide the key, NaN included."""
        return body.op("Not", body.op("LessOrEqual", bias, HIDING_BIAS))


def bias_of(body: Body, site: CallSite) -> Bias | None:
    """The bias of a node, or None where it has none."""
    value = body.optional("bias")
    return None if value is None else Bias(body, site, value)


def both(body: Body, first: ir.Value | None, second: ir.Value | None) -> ir.Value | None:
    """Where two masks are true, either of which may be None, which is true throughout."""
    if first is None or second is None:
        return first if second is None else second
    return body.op("And", first, second)


class Operands:
    """Queries, keys and values in the compute type, and what rows see: where the body of most variants begins.

    Args:
        body: under construction; the operands are written at once, what rows see when asked for.
        site: the node.
        q, k: names of the arguments. Default: "q" and "k".

    Attributes:
        heads, kv_heads: H and Hkv.
        q: (B, H, N, D).
        k: (B, H, M, D), zero outside kv_start .. kv_lengths, every key head repeated for its query heads.
        v: (B, H, M, Dv), the same.
        narrow_v: (B, Hkv, M, Dv), zero there too.
        rows, keys: N and M.
        visibility: which keys rows see.
        bias: added to the scores; None for none.
    """

    def __init__(self, body: Body, site: CallSite, q: str = "q", k: str = "k") -> None:
        self._body = body
        self.heads, self.kv_heads = size(body, site, q, 1), size(body, site, k, 1)
        self.visibility = visibility_of(body, site)
        self.q = body.compute(body.tensor(q))
        self.k = key_operand(body, body.tensor(k), self.visibility, self.heads, self.kv_heads)
        self.narrow_v = zero_hidden(body, body.compute(body.tensor("v")), self.visibility)
        self.v = repeat_heads(body, self.narrow_v, self.heads, self.kv_heads)
        self.rows, self.keys = body.dim(self.q, 2), body.dim(self.k, 2)
        self.bias = bias_of(body, site)

    def mask(self) -> ir.Value | None:
        """Boolean (B or 1, H or 1, N or 1, M): the row sees the key. None when every row sees every key."""
        visible = onnx_visible_mask(self._body, self.rows, self.keys, self.visibility)
        return both(self._body, visible, None if self.bias is None else Bias.shown(self._body, self.bias.value))

    def runs(self) -> OnnxKeyRuns:
        """The run of keys that every row sees."""
        return onnx_key_runs(self._body, self.rows, self.keys, self.visibility)

    def scores(self) -> ir.Value:
        """Dot products times the attribute scale and the bias, (B, H, N, M)."""
        scaled = self._body.op("Mul", self.q, self._body.float_attribute("scale"))
        scores = dot(self._body, scaled, self.k)
        return scores if self.bias is None else self._body.op("Add", scores, self.bias.value)


def swap_last(body: Body, value: ir.Value, rank: int = 4) -> ir.Value:
    """Transposes the last two axes."""
    return body.transpose(value, *range(rank - 2), rank - 1, rank - 2)


def dot(body: Body, rows: ir.Value, keys: ir.Value, rank: int = 4) -> ir.Value:
    """Rows (..., n, D) times keys (..., m, D): (..., n, m)."""
    return body.op("MatMul", rows, swap_last(body, keys, rank))


def at_least(body: Body, value: ir.Value, bound: float) -> ir.Value:
    """The bound where the value is below it. NaN stays NaN, which Max does not promise."""
    return body.op("Where", body.op("Less", value, bound), bound, value)


def top_k_mask(body: Body, scores: ir.Value, k: ir.Value, mask: ir.Value | None, rank: int = 4) -> ir.Value:
    """True at the k largest visible scores of each row, ties going to the lower index, as TopK ranks them, and at all
    that are NaN, which TopK does not rank."""
    visible = body.hide(scores, mask, HIDDEN_SCORE)
    broken = body.op("IsNaN", visible)
    ranked = body.op("Where", broken, HIDDEN_SCORE, visible)
    kept = body.op("Min", k, body.dim(scores, rank - 1))
    _, index = body.ops("TopK", ranked, body.reshape(kept, 1), outputs=2, axis=-1, largest=1, sorted=1)
    nowhere = body.op("Expand", body.real(0.0), body.op("Shape", scores))
    chosen = body.op("Expand", body.real(1.0), body.op("Shape", index))
    marked = body.op("ScatterElements", nowhere, index, chosen, axis=-1)
    keep = body.op("Or", body.op("Greater", marked, 0.5), broken)
    return keep if mask is None else body.op("And", keep, mask)


def masked_softmax(body: Body, scores: ir.Value, mask: ir.Value | None) -> ir.Value:
    """Softmax over the last axis with zeros where the mask is false, and in rows where it is false throughout."""
    weights = body.op("Softmax", body.hide(scores, mask, HIDDEN_SCORE), axis=-1)
    return body.hide(weights, mask, 0.0)


def gather_tokens(body: Body, value: ir.Value, index: ir.Value, *, per_batch: bool) -> ir.Value:
    """Picks tokens: (B, H, M, D) and int64 (L,), or (B, L) when it differs per batch, to (B, H, L, D)."""
    if not per_batch:
        return body.op("Gather", value, index, axis=2)
    tokens_first = body.transpose(value, 0, 2, 1, 3)
    picked = body.op("GatherND", tokens_first, body.unsqueeze(index, 2), batch_dims=1)
    return body.transpose(picked, 0, 2, 1, 3)


def prefix_sums_at(body: Body, value: ir.Value, counts: ir.Value, *, per_batch: bool) -> ir.Value:
    """Sum of the first counts tokens: (B, H, M, D) and int64 (B or 1, N) to (B, H, N, D)."""
    sums = body.op("CumSum", value, 2)
    shape = body.op("Shape", value)
    lead = body.op("Slice", shape, body.ints([0]), body.ints([2]))
    width = body.op("Slice", shape, body.ints([3]), body.ints([4]))
    empty = body.op("Concat", lead, body.ints([1]), width, axis=0)
    prefix = body.op("Concat", body.op("Expand", body.real(0.0), empty), sums, axis=2)
    if not per_batch:
        counts = body.op("Squeeze", counts, body.ints([0]))
    return gather_tokens(body, prefix, counts, per_batch=per_batch)


def clip_index(body: Body, index: ir.Value, tokens: ir.Value) -> ir.Value:
    """The index limited to 0 .. tokens - 1."""
    return body.op("Max", body.op("Min", index, body.op("Sub", tokens, 1)), 0)


class Blocks:
    """Query rows in blocks of at most ``block``, each with the run of keys from ``behind`` before its first row to
    ``beyond`` after its last. Few rows make small blocks, and a run is never longer than the keys and a block.

    Other keys may come before the run, ``first``, int64 (B or 1, s), where ``first_per_batch`` says whether they differ
    from sample to sample; the caller says who sees them.

    Attributes:
        index: int64 (B or 1, blocks, span), the keys of every block, unclipped.
        positions: int64 (B or 1, blocks, block), the rows' positions among the keys.
        starts: int64 (B or 1, blocks), position of every block's first row.
        count, block, span: how many blocks, rows of each and keys of each, int64 scalars.
        per_batch: whether they differ from sample to sample.
    """

    def __init__(
        self,
        body: Body,
        rows: ir.Value,
        keys: ir.Value,
        q_start: ir.Value | None,
        *,
        block: int,
        behind: int,
        beyond: int,
        first: ir.Value | None = None,
        first_per_batch: bool = False,
    ) -> None:
        self._body, self._rows, self._keys = body, rows, keys
        self.per_batch = q_start is not None
        self.block = body.op("Min", body.op("Max", rows, 1), block)
        before = body.op("Min", keys, behind)
        ahead = body.op("Add", self.block, body.op("Min", keys, beyond))
        self.span = body.op("Add", before, ahead)
        self.count = body.op("Div", body.op("Sub", body.op("Add", rows, self.block), 1), self.block)
        offsets = body.op("Mul", body.arange(self.count), self.block)
        if q_start is None:
            self.starts = body.unsqueeze(body.op("Add", offsets, body.op("Sub", keys, rows)), 0)
        else:
            begin = body.unsqueeze(body.cast(q_start, ir.DataType.INT64), 1)
            self.starts = body.op("Add", begin, offsets)
        self.positions = body.op("Add", body.unsqueeze(self.starts, 2), body.arange(self.block))
        # Blocks far outside the keys see none of them, or their last: their runs are moved next to the keys.
        near = body.op("Max", body.op("Min", self.starts, keys), body.op("Neg", self.block))
        run = body.op("Range", body.op("Neg", before), ahead, 1)
        self.index = body.op("Add", body.unsqueeze(near, 2), run)
        if first is not None:
            self._put_before(first)
            self.per_batch = self.per_batch or first_per_batch

    def _put_before(self, keys: ir.Value) -> None:
        """Keys of every sample, int64 (B or 1, s), before the run of each of its blocks."""
        body, number = self._body, self._body.dim(keys, 1)
        batch = body.op("Max", body.dim(keys, 0), body.dim(self.index, 0))
        first = body.op("Expand", body.unsqueeze(keys, 1), body.vector(batch, self.count, number))
        run = body.op("Expand", self.index, body.vector(batch, self.count, self.span))
        self.index = body.op("Concat", first, run, axis=2)
        self.span = body.op("Add", self.span, number)

    def rows(self, value: ir.Value, heads: Operand, width: Operand) -> ir.Value:
        """(B, H, N, D) to (B, H, blocks, block, D), the last block filled up with copies of the last row."""
        body = self._body
        last = body.op("Sub", self._rows, 1)
        index = body.op("Min", body.arange(body.op("Mul", self.count, self.block)), last)
        picked = body.op("Gather", value, index, axis=2)
        return body.reshape(picked, 0, heads, self.count, self.block, width)

    def keys(self, value: ir.Value, heads: Operand, width: Operand) -> ir.Value:
        """(B, H, M, D) to (B, H, blocks, span, D), with copies where the run leaves the keys."""
        body = self._body
        clipped = clip_index(body, self.index, self._keys)
        flat = body.reshape(clipped, 0, -1) if self.per_batch else body.reshape(clipped, -1)
        picked = gather_tokens(body, value, flat, per_batch=self.per_batch)
        return body.reshape(picked, 0, heads, self.count, self.span, width)

    def visible(self, visibility: Visibility[ir.Value]) -> ir.Value:
        """Boolean (B or 1, blocks, block or 1, span): the key exists, is present and, if causal, not ahead."""
        body = self._body
        index = body.unsqueeze(self.index, 2)
        lengths = clipped_lengths(body, self._keys, visibility.kv_lengths)
        limit = self._keys if lengths is None else body.unsqueeze(lengths, 1, 2, 3)
        first: Operand = 0
        if visibility.kv_start is not None:
            start = body.op("Max", body.cast(visibility.kv_start, ir.DataType.INT64), 0)
            first = body.unsqueeze(start, 1, 2, 3)
        inside = body.op("And", body.op("GreaterOrEqual", index, first), body.op("Less", index, limit))
        if not visibility.causal:
            return inside
        return body.op("And", inside, body.op("LessOrEqual", index, body.unsqueeze(self.positions, 3)))

    def join(self, value: ir.Value, heads: Operand, width: Operand) -> ir.Value:
        """(B, H, blocks, block, D) back to (B, H, N, D)."""
        body = self._body
        joined = body.reshape(value, 0, heads, -1, width)
        stop = body.op("Reshape", self._rows, body.ints([1]))
        return body.op("Slice", joined, body.ints([0]), stop, body.ints([2]))


def clipped_lengths(body: Body, keys: ir.Value, kv_lengths: ir.Value | None) -> ir.Value | None:
    """kv_lengths as int64 (B,), at most M; None when every key is valid."""
    if kv_lengths is None:
        return None
    return body.op("Min", body.cast(kv_lengths, ir.DataType.INT64), keys)


def constant_index(body: Body, table: np.ndarray) -> ir.Value:
    """A table of token numbers."""
    return body.constant(np.ascontiguousarray(table, dtype=np.int64))
