"""Sigmoid attention: every pair of tokens is weighed by itself, without a softmax."""

from attnexport.variants.sigmoid import onnx_function, reference
from attnexport.variants.sigmoid.module import SigmoidAttention
from attnexport.variants.sigmoid.op import sigmoid_attention
from attnexport.variants.spec import Variant

__all__ = ["SigmoidAttention", "sigmoid_attention"]

VARIANT = Variant(
    name="sigmoid",
    title="Sigmoid attention",
    op_type="SigmoidAttention",
    formula="Σ sigmoid(q·k·scale + bias) v",
    cost="O(N·M)",
    paper="arXiv 2409.04431",
    reference=reference.sigmoid_attention,
    rows=reference.SigmoidRows.of,
    body=onnx_function.write_body,
)
