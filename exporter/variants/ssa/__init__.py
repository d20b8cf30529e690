"""Selective synchronization attention: weights of phase-locked oscillators."""

from attnexport.variants.descriptions import Description

DESCRIPTION = Description(
    name="ssa",
    title="Selective synchronization attention",
    op_type="SelectiveSynchronizationAttention",
    formula="Σ S v / (Σ S + ε),  S = √max(0, e^(−2α·D²) − D²/(K·r)²)",
    cost="O(N·M)",
    paper="arXiv 2602.14445",
)
