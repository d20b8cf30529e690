"""What a layer can be computed in."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class Scheme:
    """How the weights and the activations of a layer are held.

    Attributes:
        name: as the command line and reports call it.
        weights: type of the quantized weight.
        activations: type that the activation is rounded to; None where it stays as it is.
        block: how many weights that are summed share a scale; None for a scale for each output.
        opset: the least one that has these types.
    """

    name: str
    weights: ir.DataType
    activations: ir.DataType | None
    block: int | None
    opset: int


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("int8", ir.DataType.INT8, ir.DataType.INT8, None, 13),
        Scheme("fp8", ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E4M3FN, None, 19),
        Scheme("int8-weights", ir.DataType.INT8, None, None, 13),
        Scheme("int4-weights", ir.DataType.INT4, None, 32, 21),
    )
}

KEPT = {"fp32": ir.DataType.FLOAT, "fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
"""What a layer that is not quantized can be computed in."""
