"""Hadamard linear attention: linear attention with products of kernels, a reconstruction."""

from attnexport.variants.descriptions import Description

DESCRIPTION = Description(
    name="hla",
    title="Hadamard linear attention",
    op_type="HadamardLinearAttention",
    formula="Σ A v / (Σ A + ε),  A = Π_r ⟨φ_r(q), φ_r(k)⟩",
    cost="O((N + M)·Π m_r·Dv)",
    paper="arXiv 2602.12128 (reconstructed)",
)
