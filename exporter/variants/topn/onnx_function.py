"""Top-N attention in standard ONNX operators."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite
from attnexport.variants.onnx_parts import dot, key_operand, masked_softmax, size, top_k_mask
from attnexport.variants.visibility import onnx_visible_mask


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    heads, kv_heads = size(body, site, "q", 1), size(body, site, "k", 1)
    q = body.compute(body.tensor("q"))
    k = key_operand(body, body.tensor("k"), heads, kv_heads)
    v = key_operand(body, body.tensor("v"), heads, kv_heads)
    mask = onnx_visible_mask(
        body,
        body.dim(q, 2),
        body.dim(k, 2),
        causal=site.flag("causal"),
        kv_lengths=body.optional("kv_lengths"),
        q_start=body.optional("q_start"),
    )
    scores = dot(body, body.op("Mul", q, body.float_attribute("scale")), k)
    kept = top_k_mask(body, scores, body.int_attribute("n"), mask)
    if site.flag("renormalize"):
        weights = masked_softmax(body, scores, kept)
    else:
        weights = body.hide(masked_softmax(body, scores, mask), kept, 0.0)
    return body.op("MatMul", weights, v)
