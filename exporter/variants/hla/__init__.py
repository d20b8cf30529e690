"""Hadamard linear attention: linear attention with products of kernels, a reconstruction."""

from attnexport.variants.hla import hazards, onnx_function, reference
from attnexport.variants.hla.module import HadamardLinearAttention
from attnexport.variants.hla.op import hadamard_linear_attention
from attnexport.variants.spec import Variant

__all__ = ["HadamardLinearAttention", "hadamard_linear_attention"]

VARIANT = Variant(
    name="hla",
    title="Hadamard linear attention",
    op_type="HadamardLinearAttention",
    formula="Σ A v / (Σ A + ε),  A = Π_r ⟨φ_r(q), φ_r(k)⟩",
    cost="O((N + M)·Π m_r·Dv)",
    paper="arXiv 2602.12128 (reconstructed)",
    reference=reference.hadamard_linear_attention,
    body=onnx_function.write_body,
    rows=reference.hadamard_rows,
    measure=hazards.measure,
)
