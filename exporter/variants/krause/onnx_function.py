"""Krause attention in standard ONNX operators: the same identity, blocks and offsets as the reference."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir
import torch

from attnexport.variants.body import Body, CallSite
from attnexport.variants.krause.neighbourhood import Grid, grid_candidates
from attnexport.variants.onnx_parts import (
    Bias,
    Blocks,
    bias_of,
    both,
    constant_index,
    dot,
    key_operand,
    masked_softmax,
    size,
    swap_last,
    top_k_mask,
    visibility_of,
)
from attnexport.variants.visibility import onnx_first_keys, onnx_key_runs, onnx_visible_mask


class _Krause:
    """The operands in the compute type, keys and values repeated to the query heads."""

    def __init__(self, body: Body, site: CallSite) -> None:
        self.body, self.site = body, site
        q, k, v = (body.tensor(name) for name in ("q", "k", "v"))
        self.heads = size(body, site, "q", 1)
        kv_heads = size(body, site, "k", 1)
        self.width, self.value_width = size(body, site, "k", 3), size(body, site, "v", 3)
        self.rows, self.keys = body.dim(q, 2), body.dim(k, 2)
        self.visibility = visibility_of(body, site)
        self.q = body.compute(q)
        self.k = key_operand(body, k, self.visibility, self.heads, kv_heads)
        self.v = key_operand(body, v, self.visibility, self.heads, kv_heads)
        self.sigma = body.compute(body.tensor("sigma"))
        self.bias = bias_of(body, site)

    def attend(
        self, q: ir.Value, k: ir.Value, v: ir.Value, mask: ir.Value | None, bias: ir.Value | None, rank: int = 4
    ) -> ir.Value:
        """(B, H, ..., n, D) against (B, H, ..., m, D)."""
        body = self.body
        half_square = body.op("Mul", body.sum(body.op("Mul", k, k), -1), 0.5)
        key_bias = swap_last(body, half_square, rank)
        sigma = body.reshape(self.sigma, -1, *(1 for _ in range(rank - 2)))
        scores = body.op("Div", body.op("Sub", dot(body, q, k, rank), key_bias), body.op("Mul", sigma, sigma))
        if bias is not None:
            scores = body.op("Add", scores, bias)
            mask = both(body, mask, Bias.shown(body, bias))
        if self.site.integer("top_k"):
            mask = top_k_mask(body, scores, body.int_attribute("top_k"), mask, rank)
        return body.op("MatMul", masked_softmax(body, scores, mask), v)


def _dense(parts: _Krause) -> ir.Value:
    mask = onnx_visible_mask(parts.body, parts.rows, parts.keys, parts.visibility)
    return parts.attend(parts.q, parts.k, parts.v, mask, None if parts.bias is None else parts.bias.value)


def _window(parts: _Krause, window: int, prefix: int) -> ir.Value:
    body, visibility = parts.body, parts.visibility
    beyond = 0 if visibility.causal else window - 1
    first = onnx_first_keys(body, visibility.kv_start)
    blocks = Blocks(
        body,
        parts.rows,
        parts.keys,
        visibility.q_start,
        block=max(16, window),
        behind=window - 1,
        beyond=beyond,
        first=body.op("Add", first, body.ints(range(prefix))) if prefix else None,
        first_per_batch=visibility.kv_start is not None,
    )
    visible = blocks.visible(visibility)
    step = body.op("Sub", body.unsqueeze(blocks.positions, 3), body.unsqueeze(blocks.index, 2))
    near = body.op("Less", body.op("Abs", step), window)
    if prefix:  # the prefix comes first, so that keys ascend, and the window goes on behind it
        behind = body.op("GreaterOrEqual", blocks.index, body.unsqueeze(body.op("Add", first, prefix), 2))
        in_prefix = body.op("Less", body.arange(blocks.span), prefix)
        near = body.op("Or", in_prefix, body.op("And", near, body.unsqueeze(behind, 2)))
    out = parts.attend(
        blocks.rows(parts.q, parts.heads, parts.width),
        blocks.keys(parts.k, parts.heads, parts.width),
        blocks.keys(parts.v, parts.heads, parts.value_width),
        body.unsqueeze(body.op("And", visible, near), 1),
        None if parts.bias is None else parts.bias.in_blocks(blocks),
        rank=5,
    )
    return blocks.join(out, parts.heads, parts.value_width)


def _grid(parts: _Krause, grid: Grid) -> ir.Value:
    body, prefix = parts.body, grid.prefix
    index, inside = (table.numpy() for table in grid_candidates(grid, torch.device("cpu")))

    def tokens(value: ir.Value, start: int, stop: int, axis: int) -> ir.Value:
        return body.op("Slice", value, body.ints([start]), body.ints([stop]), body.ints([axis]))

    runs = onnx_key_runs(body, parts.rows, parts.keys, parts.visibility) if parts.visibility.hides else None

    def seen(columns: ir.Value, start: int, stop: int) -> ir.Value | None:
        if runs is None:
            return None
        high = tokens(runs.high, start, stop, 1) if parts.visibility.causal else runs.high
        return replace(runs, high=high).hold(columns)

    table = constant_index(body, index)
    visible = seen(table, prefix, grid.tokens)
    allowed = body.constant(inside[None])
    mask = body.unsqueeze(allowed if visible is None else body.op("And", allowed, visible), 1, 3)
    out = parts.attend(
        body.unsqueeze(tokens(parts.q, prefix, grid.tokens, 2), 3),
        body.op("Gather", parts.k, table, axis=2),
        body.op("Gather", parts.v, table, axis=2),
        mask,
        None if parts.bias is None else parts.bias.at(prefix, index),
        rank=5,
    )
    cells = body.op("Squeeze", out, body.ints([3]))
    if prefix == 0:
        return cells
    visible = seen(body.unsqueeze(body.ints(range(grid.tokens)), 0, 1), 0, prefix)
    visible = None if visible is None else body.unsqueeze(visible, 1)
    bias = None if parts.bias is None else parts.bias.of_tokens(0, prefix)
    global_rows = parts.attend(tokens(parts.q, 0, prefix, 2), parts.k, parts.v, visible, bias)
    return body.op("Concat", global_rows, cells, axis=2)


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    parts = _Krause(body, site)
    if site.integer("grid_height"):
        grid = Grid(
            site.integer("grid_height"),
            site.integer("grid_width"),
            site.integer("grid_radius"),
            metric=str(site.attributes["grid_metric"]),
            prefix=site.integer("grid_prefix"),
        )
        return _grid(parts, grid)
    if site.integer("window"):
        return _window(parts, site.integer("window"), site.integer("prefix"))
    return _dense(parts)
