"""Selective synchronization attention: weights of phase-locked oscillators."""

from attnexport.variants.spec import ErrorFloor, Variant
from attnexport.variants.ssa import hazards, onnx_function, reference
from attnexport.variants.ssa.module import SelectiveSynchronizationAttention
from attnexport.variants.ssa.op import selective_synchronization_attention

__all__ = ["SelectiveSynchronizationAttention", "selective_synchronization_attention"]

VARIANT = Variant(
    name="ssa",
    title="Selective synchronization attention",
    op_type="SelectiveSynchronizationAttention",
    formula="Σ S v / (Σ S + ε),  S = √max(0, e^(−2α·D²) − D²/(K·r)²)",
    cost="O(N·M)",
    paper="arXiv 2602.14445",
    reference=reference.selective_synchronization_attention,
    body=onnx_function.write_body,
    rows=reference.coupled_rows,
    measure=hazards.measure,
    floor=ErrorFloor(factor=0.1, power=0.5),
    selection="top_k",
)
