"""Selective synchronization attention: its operator, module, ONNX body and figures."""

from attnexport.variants.spec import ErrorFloor, Variant
from attnexport.variants.ssa import DESCRIPTION, hazards, onnx_function, reference
from attnexport.variants.ssa.module import SelectiveSynchronizationAttention
from attnexport.variants.ssa.op import selective_synchronization_attention

__all__ = ["SelectiveSynchronizationAttention", "selective_synchronization_attention"]

VARIANT = Variant(
    **vars(DESCRIPTION),
    reference=reference.selective_synchronization_attention,
    body=onnx_function.write_body,
    rows=reference.coupled_rows,
    measure=hazards.measure,
    floor=ErrorFloor(factor=0.1, power=0.5),
    selection="top_k",
)
