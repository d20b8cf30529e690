"""Krause attention: its operator, module, ONNX body and figures."""

from attnexport.variants.krause import DESCRIPTION, hazards, onnx_function, reference
from attnexport.variants.krause.core import KrauseCore
from attnexport.variants.krause.module import KrauseAttention
from attnexport.variants.krause.neighbourhood import Grid
from attnexport.variants.krause.op import krause_attention
from attnexport.variants.spec import Variant

__all__ = ["Grid", "KrauseAttention", "krause_attention"]

VARIANT = Variant(
    **vars(DESCRIPTION),
    core=KrauseCore,
    reference=reference.krause_attention,
    body=onnx_function.write_body,
    rows=reference.krause_rows,
    measure=hazards.measure,
    selection="top_k",
)
