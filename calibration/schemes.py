"""What a layer can be computed in."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from attnexport.calibration.layers import Layer

_PRODUCTS = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Scheme:
    """How the weights and the activations of a layer are held.

    Attributes:
        name: as the command line and reports call it.
        weights: type of the quantized weight.
        activations: type that the activation is rounded to; None where it stays as it is.
        block: how many weights that are summed share a scale; None for a scale for each output.
        opset: the least one that has these types.
        operators: whose weights it is for. Default: MatMul, Gemm and Conv.
    """

    name: str
    weights: ir.DataType
    activations: ir.DataType | None
    block: int | None
    opset: int
    operators: tuple[str, ...] = (*_PRODUCTS, "Conv")

    def takes(self, layer: Layer) -> bool:
        """Whether the layer can be computed so; a block that is one number wide is none."""
        summed = layer.weight_shape[layer.input_axis]
        return layer.node.op_type in self.operators and (self.block is None or summed > 1)


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("int8", ir.DataType.INT8, ir.DataType.INT8, None, 13),
        Scheme("fp8", ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E4M3FN, None, 19),
        Scheme("int8-weights", ir.DataType.INT8, None, None, 13),
        Scheme("int4-weights", ir.DataType.INT4, None, 32, 21, _PRODUCTS),
    )
}

KEPT = {"fp32": ir.DataType.FLOAT, "fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
"""What a layer that is not quantized can be computed in."""
