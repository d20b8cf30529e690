"""Hadamard linear attention in standard ONNX operators, by states: no N x M product in either form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite, Operand
from attnexport.variants.hla.reference import BLOCK
from attnexport.variants.onnx_parts import (
    Blocks,
    clipped_lengths,
    dot,
    key_operand,
    size,
    swap_last,
    visibility_of,
)


def _widths(site: CallSite) -> list[int]:
    factors = site.inputs["query_factors"]
    assert isinstance(factors, tuple)
    widths = [factor.shape[-1] if factor.shape is not None else None for factor in factors]
    if not all(isinstance(width, int) for width in widths):
        raise ValueError(f"query_factors: expected fixed feature widths, given {widths}")
    return [int(width) for width in widths]  # type: ignore[arg-type]


def _kronecker(body: Body, factors: Sequence[ir.Value], widths: Sequence[int], rank: int = 4) -> ir.Value:
    """Row-wise Kronecker product of tensors (..., m_r): (..., prod m_r)."""
    product, width = factors[0], widths[0]
    for factor, m in zip(factors[1:], widths[1:], strict=True):
        outer = body.op("Mul", body.unsqueeze(product, rank), body.unsqueeze(factor, rank - 1))
        width *= m
        lead = body.op("Slice", body.op("Shape", factor), body.ints([0]), body.ints([rank - 1]))
        product = body.op("Reshape", outer, body.op("Concat", lead, body.ints([width]), axis=0))
    return product


def _state(body: Body, features: ir.Value, v: ir.Value, rank: int = 4) -> tuple[ir.Value, ir.Value]:
    """Features (..., M, P) and values (..., M, Dv) to T (..., P, Dv) and Z (..., P, 1)."""
    turned = swap_last(body, features, rank)
    return body.op("MatMul", turned, v), body.sum(turned, -1)


def _ratio(body: Body, numerator: ir.Value, denominator: ir.Value) -> ir.Value:
    return body.op("Div", numerator, body.op("Add", denominator, body.float_attribute("eps")))


class _Operands:
    """The operands in the compute type, keys and values repeated to the query heads.

    Features outside kv_start .. kv_lengths are zero, and so are their products with queries.
    """

    def __init__(self, body: Body, site: CallSite) -> None:
        self.heads = size(body, site, "query_factors", 1)
        kv_heads = size(body, site, "v", 1)
        self.widths = _widths(site)
        self.value_width: Operand = size(body, site, "v", 3)
        self.visibility = visibility_of(body, site)
        self.queries = [body.compute(factor) for factor in body.tensors("query_factors")]
        self.keys = [
            key_operand(body, factor, self.visibility, self.heads, kv_heads) for factor in body.tensors("key_factors")
        ]
        self.v = key_operand(body, body.tensor("v"), self.visibility, self.heads, kv_heads)
        self.rows, self.tokens = body.dim(self.queries[0], 2), body.dim(self.v, 2)
        self.lengths = clipped_lengths(body, self.tokens, self.visibility.kv_lengths)

    def key_features_before(self, body: Body, limit: ir.Value | None) -> ir.Value:
        """Features of all keys, zero from limit (B or 1,) on."""
        features = _kronecker(body, self.keys, self.widths)
        if limit is None:
            return features
        before = body.op("Less", body.unsqueeze(body.arange(self.tokens), 1), body.unsqueeze(limit, 1, 2, 3))
        return body.hide(features, before, 0.0)


def _full(body: Body, operands: _Operands) -> ir.Value:
    numerator, denominator = _state(body, operands.key_features_before(body, operands.lengths), operands.v)
    rows = _kronecker(body, operands.queries, operands.widths)
    return _ratio(body, body.op("MatMul", rows, numerator), body.op("MatMul", rows, denominator))


def _causal(body: Body, site: CallSite, operands: _Operands) -> ir.Value:
    visibility = operands.visibility
    q_start = visibility.q_start
    blocks = Blocks(body, operands.rows, operands.tokens, q_start, block=BLOCK, behind=0, beyond=0)
    within = body.unsqueeze(blocks.visible(visibility), 1)
    exists = body.transpose(body.unsqueeze(blocks.visible(replace(visibility, causal=False)), 1), 0, 1, 2, 4, 3)

    v = blocks.keys(operands.v, operands.heads, operands.value_width)
    keys = [
        blocks.keys(factor, operands.heads, width) for factor, width in zip(operands.keys, operands.widths, strict=True)
    ]
    queries = [
        blocks.rows(factor, operands.heads, width)
        for factor, width in zip(operands.queries, operands.widths, strict=True)
    ]
    features = body.hide(_kronecker(body, keys, operands.widths, 5), exists, 0.0)
    numerators, denominators = (body.op("CumSum", state, 2, exclusive=1) for state in _state(body, features, v, 5))
    tokens = site.dim("v", 2)
    starts_at_zero = q_start is None and tokens is not None and site.dim("query_factors", 2) == tokens
    if not starts_at_zero:
        first = body.op("Gather", blocks.starts, body.integer(0), axis=1)
        limit = first if operands.lengths is None else body.op("Min", first, operands.lengths)
        history = _state(body, operands.key_features_before(body, limit), operands.v)
        numerators = body.op("Add", numerators, body.unsqueeze(history[0], 2))
        denominators = body.op("Add", denominators, body.unsqueeze(history[1], 2))

    pairs = dot(body, queries[0], keys[0], 5)
    for query, key in zip(queries[1:], keys[1:], strict=True):
        pairs = body.op("Mul", pairs, dot(body, query, key, 5))
    pairs = body.hide(pairs, within, 0.0)
    rows = _kronecker(body, queries, operands.widths, 5)
    numerator = body.op("Add", body.op("MatMul", pairs, v), body.op("MatMul", rows, numerators))
    denominator = body.op("Add", body.sum(pairs, -1), body.op("MatMul", rows, denominators))
    return blocks.join(_ratio(body, numerator, denominator), operands.heads, operands.value_width)


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    operands = _Operands(body, site)
    return _causal(body, site, operands) if site.flag("causal") else _full(body, operands)
