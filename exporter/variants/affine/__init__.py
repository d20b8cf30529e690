"""Affine-scaled attention: softmax weights times alpha plus beta."""

from attnexport.variants.affine import hazards, onnx_function, reference
from attnexport.variants.affine.module import AffineScaledAttention
from attnexport.variants.affine.op import affine_scaled_attention
from attnexport.variants.spec import Variant

__all__ = ["AffineScaledAttention", "affine_scaled_attention"]

VARIANT = Variant(
    name="affine",
    title="Affine-scaled attention",
    op_type="AffineScaledAttention",
    formula="α·softmax(q·k·scale) v + β·Σ v",
    cost="O(N·M), the β term O(N + M)",
    paper="arXiv 2602.23057",
    reference=reference.affine_scaled_attention,
    body=onnx_function.write_body,
    rows=reference.AffineRows.of,
    measure=hazards.measure,
)
