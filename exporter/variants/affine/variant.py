"""Affine-scaled attention: its operator, module, ONNX body and figures."""

from attnexport.variants.affine import DESCRIPTION, hazards, onnx_function, reference
from attnexport.variants.affine.core import AffineCore
from attnexport.variants.affine.module import AffineScaledAttention
from attnexport.variants.affine.op import affine_scaled_attention
from attnexport.variants.spec import Variant

__all__ = ["AffineScaledAttention", "affine_scaled_attention"]

VARIANT = Variant(
    **vars(DESCRIPTION),
    core=AffineCore,
    reference=reference.affine_scaled_attention,
    body=onnx_function.write_body,
    rows=reference.AffineRows.of,
    measure=hazards.measure,
)
