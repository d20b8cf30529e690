"""Selective synchronization attention in standard ONNX operators, in the reference's closed form."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite
from attnexport.variants.onnx_parts import (
    Operands,
    at_least,
    dot,
    prefix_sums_at,
    repeat_heads,
    top_k_mask,
    zero_hidden,
)
from attnexport.variants.ssa.reference import SMALLEST_LOCK_SQUARE
from attnexport.variants.visibility import onnx_present_keys


def _order_parameter(body: Body, theta: ir.Value, operands: Operands) -> ir.Value:
    """r as (B, H, N or 1, 1) from phases (B, Hkv, M, D)."""
    runs, visibility = operands.runs(), operands.visibility
    if operands.bias is not None:
        return _masked_order_parameter(body, theta, operands)
    number = body.unsqueeze(body.compute(body.op("Max", runs.counts(), 1)), 1, 3)
    present = onnx_present_keys(body, operands.keys, visibility)

    def mean_square(wave: str) -> ir.Value:
        values = body.hide(body.op(wave, theta), None if present is None else body.unsqueeze(present, 1, 3), 0.0)
        if visibility.causal:
            total = prefix_sums_at(body, values, runs.high, per_batch=visibility.ends_per_sample)
        else:
            total = body.sum(values, 2)
        mean = body.op("Div", total, number)
        return body.op("Mul", mean, mean)

    magnitude = body.op("Sqrt", body.op("Add", mean_square("Cos"), mean_square("Sin")))
    order = body.op("Div", body.sum(magnitude, 3), body.compute(body.dim(theta, 3)))
    return repeat_heads(body, order, operands.heads, operands.kv_heads)


def _masked_order_parameter(body: Body, theta: ir.Value, operands: Operands) -> ir.Value:
    """r as (B, H, N or 1, 1) over the keys of a mask; NaN in a phase stays with the rows that see it."""
    mask = operands.mask()
    assert mask is not None  # a bias hides
    seen = body.compute(mask)
    number = body.op("Max", body.sum(seen, 3), 1.0)
    phases = repeat_heads(body, theta, operands.heads, operands.kv_heads)
    broken = body.op("IsNaN", phases)
    phases = body.op("Where", broken, 0.0, phases)

    def mean_square(wave: str) -> ir.Value:
        mean = body.op("Div", body.op("MatMul", seen, body.op(wave, phases)), number)
        return body.op("Mul", mean, mean)

    magnitude = body.op("Sqrt", body.op("Add", mean_square("Cos"), mean_square("Sin")))
    lost = body.op("Greater", body.op("MatMul", seen, body.compute(broken)), 0.0)
    magnitude = body.op("Where", lost, float("nan"), magnitude)
    return body.op("Div", body.sum(magnitude, 3), body.compute(body.dim(theta, 3)))


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    operands = Operands(body, site, "omega_q", "omega_k")
    omega_q, omega_k = operands.q, operands.k
    theta = zero_hidden(body, body.compute(body.tensor("theta")), operands.visibility)
    order = _order_parameter(body, theta, operands)
    coupling = body.compute(body.tensor("coupling"))
    lock = body.op("Mul", coupling, order)
    lock_square = at_least(body, body.op("Mul", lock, lock), SMALLEST_LOCK_SQUARE)

    query_square = body.sum(body.op("Mul", omega_q, omega_q), -1)
    key_square = body.transpose(body.sum(body.op("Mul", omega_k, omega_k), -1), 0, 1, 3, 2)
    squares = body.op("Add", query_square, key_square)
    cross = body.op("Mul", dot(body, omega_q, omega_k), 2.0)
    distance = at_least(body, body.op("Sub", squares, cross), 0.0)
    alpha = body.reshape(body.compute(body.tensor("alpha")), -1, 1, 1)
    decay = body.op("Exp", body.op("Mul", body.op("Mul", distance, alpha), -2.0))
    inner = body.op("Sub", decay, body.op("Div", distance, lock_square))
    strength = body.op("Sqrt", at_least(body, inner, 0.0))

    mask = operands.mask()
    strength = body.hide(strength, mask, 0.0)
    if site.integer("top_k"):
        kept = top_k_mask(body, strength, body.int_attribute("top_k"), mask)
        strength = body.hide(strength, kept, 0.0)
    total = body.op("Add", body.sum(strength, -1), body.float_attribute("eps"))
    return body.op("Div", body.op("MatMul", strength, operands.v), total)
