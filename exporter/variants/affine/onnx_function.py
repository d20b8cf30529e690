"""Affine-scaled attention in standard ONNX operators, the causal sum of values as a prefix sum."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite
from attnexport.variants.onnx_parts import (
    dot,
    key_operand,
    masked_softmax,
    prefix_sums_at,
    repeat_heads,
    size,
    zero_hidden,
)
from attnexport.variants.visibility import onnx_visible_counts, onnx_visible_mask


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    heads, kv_heads = size(body, site, "q", 1), size(body, site, "k", 1)
    q = body.compute(body.tensor("q"))
    k = key_operand(body, body.tensor("k"), heads, kv_heads)
    v_narrow = zero_hidden(body, body.compute(body.tensor("v")), body.optional("kv_lengths"))
    v = repeat_heads(body, v_narrow, heads, kv_heads)
    rows, keys = body.dim(q, 2), body.dim(k, 2)
    causal = site.flag("causal")
    kv_lengths, q_start = body.optional("kv_lengths"), body.optional("q_start")

    mask = onnx_visible_mask(body, rows, keys, causal=causal, kv_lengths=kv_lengths, q_start=q_start)
    scores = dot(body, body.op("Mul", q, body.float_attribute("scale")), k)
    softmax = body.op("MatMul", masked_softmax(body, scores, mask), v)

    if causal:
        counts = onnx_visible_counts(body, rows, keys, causal=True, kv_lengths=kv_lengths, q_start=q_start)
        per_batch = kv_lengths is not None or q_start is not None
        sums = repeat_heads(body, prefix_sums_at(body, v_narrow, counts, per_batch=per_batch), heads, kv_heads)
    else:
        visible = None if mask is None else body.transpose(mask, 0, 1, 3, 2)
        sums = body.sum(body.hide(v, visible, 0.0), 2)

    alpha = body.unsqueeze(body.compute(body.tensor("alpha")), 3)
    beta = body.unsqueeze(body.compute(body.tensor("beta")), 3)
    return body.op("Add", body.op("Mul", alpha, softmax), body.op("Mul", beta, sums))
