"""Hadamard linear attention: its operator, module, ONNX body and figures."""

from attnexport.variants.hla import DESCRIPTION, hazards, onnx_function, reference
from attnexport.variants.hla.core import HadamardLinearCore
from attnexport.variants.hla.module import HadamardLinearAttention
from attnexport.variants.hla.op import hadamard_linear_attention
from attnexport.variants.spec import Variant

__all__ = ["HadamardLinearAttention", "hadamard_linear_attention"]

VARIANT = Variant(
    **vars(DESCRIPTION),
    core=HadamardLinearCore,
    reference=reference.hadamard_linear_attention,
    body=onnx_function.write_body,
    rows=reference.hadamard_rows,
    measure=hazards.measure,
)
