"""Affine-scaled attention in standard ONNX operators, the causal sum of values as a prefix sum."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite
from attnexport.variants.onnx_parts import Operands, masked_softmax, prefix_sums_at, repeat_heads


def _visible_sums(body: Body, operands: Operands, mask: ir.Value | None) -> ir.Value:
    """Sum of the values that every row sees, (B, H, N or 1, Dv)."""
    if operands.bias is not None:  # what rows see is no run of keys
        assert mask is not None
        return body.op("MatMul", body.compute(mask), operands.v)
    if operands.visibility.causal:
        # Values before kv_start are zero, so that sums from the first key on are sums of what rows see.
        ends, per_batch = operands.runs().high, operands.visibility.ends_per_sample
        sums = prefix_sums_at(body, operands.narrow_v, ends, per_batch=per_batch)
        return repeat_heads(body, sums, operands.heads, operands.kv_heads)
    visible = None if mask is None else body.transpose(mask, 0, 1, 3, 2)
    return body.sum(body.hide(operands.v, visible, 0.0), 2)


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    operands = Operands(body, site)
    mask = operands.mask()
    softmax = body.op("MatMul", masked_softmax(body, operands.scores(), mask), operands.v)
    sums = _visible_sums(body, operands, mask)
    alpha = body.unsqueeze(body.compute(body.tensor("alpha")), 3)
    beta = body.unsqueeze(body.compute(body.tensor("beta")), 3)
    return body.op("Add", body.op("Mul", alpha, softmax), body.op("Mul", beta, sums))
