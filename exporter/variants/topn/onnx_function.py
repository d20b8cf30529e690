"""Top-N attention in standard ONNX operators."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite
from attnexport.variants.onnx_parts import Operands, masked_softmax, top_k_mask


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    operands = Operands(body, site)
    mask = operands.mask()
    scores = operands.scores()
    kept = top_k_mask(body, scores, body.int_attribute("n"), mask)
    if site.flag("renormalize"):
        weights = masked_softmax(body, scores, kept)
    else:
        weights = body.hide(masked_softmax(body, scores, mask), kept, 0.0)
    return body.op("MatMul", weights, operands.v)
