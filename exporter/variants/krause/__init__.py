"""Krause attention: bounded-confidence attention over a window or a grid."""

from attnexport.variants.descriptions import Description

DESCRIPTION = Description(
    name="krause",
    title="Krause attention",
    op_type="KrauseAttention",
    formula="softmax over top-k of the neighbourhood of (q·k − ½|k|²)/σ²",
    cost="O(N·|neighbourhood|)",
    paper="arXiv 2602.11534",
)
