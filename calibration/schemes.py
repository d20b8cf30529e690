"""What a layer can be computed in."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from attnexport.calibration.layers import Layer
from attnexport.calibration.options import OPSETS

_PRODUCTS = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Scheme:
    """How the weights and the activations of a layer are held.

    Attributes:
        name: as the command line and reports call it.
        weights: type of the quantized weight.
        activations: type that the activation is rounded to; None where it stays as it is.
        block: how many weights that are summed share a scale; None without blocks.
        opset: the least one that has these types.
        operators: whose weights it is for. Default: MatMul, Gemm and Conv.
        by_output: whether a weight without blocks has a scale for each output, or one. Default: True.
    """

    name: str
    weights: ir.DataType
    activations: ir.DataType | None
    block: int | None
    opset: int
    operators: tuple[str, ...] = (*_PRODUCTS, "Conv")
    by_output: bool = True

    @property
    def of_weights(self) -> tuple[ir.DataType, int | None, bool]:
        """``weights``, ``block`` and ``by_output``: layers that agree in them can share a weight."""
        return self.weights, self.block, self.by_output

    def takes(self, layer: Layer) -> bool:
        """Whether the layer can be computed so; a block that is one number wide is none."""
        summed = layer.weight_shape[layer.input_axis]
        return layer.node.op_type in self.operators and (self.block is None or summed > 1)


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("int8", ir.DataType.INT8, ir.DataType.INT8, None, OPSETS["int8"]),
        Scheme("fp8", ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E4M3FN, None, OPSETS["fp8"]),
        Scheme("int8-weights", ir.DataType.INT8, None, None, OPSETS["int8-weights"]),
        Scheme("int4-weights", ir.DataType.INT4, None, 32, OPSETS["int4-weights"], _PRODUCTS),
    )
}

KEPT = {"fp32": ir.DataType.FLOAT, "fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
"""What a layer that is not quantized can be computed in."""
