"""Sigmoid attention in standard ONNX operators."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.body import Body, CallSite
from attnexport.variants.onnx_parts import Operands


def write_body(body: Body, site: CallSite) -> ir.Value:
    """Writes the operator's body and returns (B, H, N, Dv) in the compute type."""
    operands = Operands(body, site)
    weights = body.op("Sigmoid", body.op("Add", operands.scores(), body.float_attribute("bias")))
    return body.op("MatMul", body.hide(weights, operands.mask(), 0.0), operands.v)
