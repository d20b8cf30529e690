"""Affine-scaled attention: softmax weights times alpha plus beta."""

from attnexport.variants.descriptions import Description

DESCRIPTION = Description(
    name="affine",
    title="Affine-scaled attention",
    op_type="AffineScaledAttention",
    formula="α·softmax(q·k·scale) v + β·Σ v",
    cost="O(N·M), the β term O(N + M)",
    paper="arXiv 2602.23057",
)
