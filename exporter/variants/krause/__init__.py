"""Krause attention: bounded-confidence attention over a window or a grid."""

from attnexport.variants.krause import hazards, onnx_function, reference
from attnexport.variants.krause.module import KrauseAttention
from attnexport.variants.krause.neighbourhood import Grid
from attnexport.variants.krause.op import krause_attention
from attnexport.variants.spec import Variant

__all__ = ["Grid", "KrauseAttention", "krause_attention"]

VARIANT = Variant(
    name="krause",
    title="Krause attention",
    op_type="KrauseAttention",
    formula="softmax over top-k of the neighbourhood of (q·k − ½|k|²)/σ²",
    cost="O(N·|neighbourhood|)",
    paper="arXiv 2602.11534",
    reference=reference.krause_attention,
    body=onnx_function.write_body,
    rows=reference.krause_rows,
    measure=hazards.measure,
    selection="top_k",
)
