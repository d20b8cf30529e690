"""What a layer can be computed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx_ir as ir

from attnexport.calibration.layers import Layer
from attnexport.errors import InputError
from attnexport.messages import option


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


def kept_types(layers: Sequence[Layer], keep: Mapping[str, str]) -> dict[str, ir.DataType | None]:
    """What the layers that are not quantized compute in, by name; None for the type that they have.

    Args:
        layers: of a file.
        keep: types by pattern, ``blocks.0.*`` to ``fp16``; an empty type keeps what the layer has.

    Raises:
        InputError: a pattern that names no layer.
    """
    kept: dict[str, ir.DataType | None] = {}
    for pattern, precision in keep.items():
        named = [layer.name for layer in layers if fnmatchcase(layer.name, pattern)]
        if not named:
            raise InputError(
                f"{option('--keep')} {pattern}: expected a pattern of layer names such as {layers[0].name}, "
                f"which this names none of {len(layers)}"
            )
        kept |= dict.fromkeys(named, KEPT[precision] if precision else None)
    return kept
