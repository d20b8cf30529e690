"""Sigmoid attention: every pair of tokens is weighed by itself, without a softmax."""

from attnexport.variants.descriptions import Description

DESCRIPTION = Description(
    name="sigmoid",
    title="Sigmoid attention",
    op_type="SigmoidAttention",
    formula="Σ sigmoid(q·k·scale + bias) v",
    cost="O(N·M)",
    paper="arXiv 2409.04431",
)
