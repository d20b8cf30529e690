"""Which layer of a file is computed in what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx_ir as ir

from attnexport.calibration.layers import Layer
from attnexport.calibration.schemes import KEPT, Scheme
from attnexport.errors import InputError
from attnexport.messages import option


@dataclass(frozen=True)
class Plan:
    """What each layer of a file is computed in.

    Attributes:
        schemes: of the layers that are quantized, by name; layers of one name share theirs.
        kept: floating types of others, by name; None for the type that they have, as for those that are in neither.
    """

    schemes: Mapping[str, Scheme]
    kept: Mapping[str, ir.DataType | None]

    @property
    def rounds_activations(self) -> bool:
        """Whether it takes ranges to carry it out."""
        return any(scheme.activations is not None for scheme in self.schemes.values())


def plan_for(layers: Sequence[Layer], scheme: Scheme, keep: Mapping[str, str]) -> Plan:
    """One scheme for every layer that it takes but those that a pattern keeps.

    Args:
        layers: of a file.
        scheme: of those that no pattern names.
        keep: types by pattern, ``blocks.0.*`` to ``fp16``; an empty type keeps what the layer has.

    Raises:
        InputError: a pattern that names no layer, a scheme that takes none, or patterns that leave none to quantize.
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
    left = [layer.name for layer in layers if not scheme.takes(layer)]
    if len(left) == len(layers):
        operators = " or ".join(scheme.operators)
        raise InputError(f"{option('--to', scheme.name)}: expected a layer of {operators}, given none")
    kept = dict.fromkeys(left) | kept
    schemes = {layer.name: scheme for layer in layers if layer.name not in kept}
    if not schemes:
        raise InputError(f"{option('--keep')}: expected a layer to be left to quantize, given patterns of all")
    return Plan(schemes, kept)
