"""Sigmoid attention: its operator, module, ONNX body and figures."""

from attnexport.variants.sigmoid import DESCRIPTION, onnx_function, reference
from attnexport.variants.sigmoid.module import SigmoidAttention
from attnexport.variants.sigmoid.op import sigmoid_attention
from attnexport.variants.spec import Variant

__all__ = ["SigmoidAttention", "sigmoid_attention"]

VARIANT = Variant(
    **vars(DESCRIPTION),
    reference=reference.sigmoid_attention,
    rows=reference.SigmoidRows.of,
    body=onnx_function.write_body,
)
