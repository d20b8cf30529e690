"""What a layer can be tried in, and how many bytes its weight takes then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from attnexport.calibration.layers import Layer
from attnexport.calibration.rewriting import equal_block
from attnexport.calibration.schemes import KEPT, SCHEMES, Scheme
from attnexport.calibration.tuning.options import HALF

FLOATING = "floating"
"""A layer as the file has it."""


@dataclass(frozen=True)
class Candidate:
    """What a layer can be computed in.

    Attributes:
        name: of CANDIDATE_NAMES, or FLOATING.
        scheme: how it is quantized; None where it is not.
        floating: the type that it computes in where it is not quantized; None for the type that it has.
    """

    name: str
    scheme: Scheme | None = None
    floating: ir.DataType | None = None

    @property
    def rounds_activations(self) -> bool:
        """Whether it needs ranges."""
        return self.scheme is not None and self.scheme.activations is not None

    def fits(self, layers: Sequence[Layer]) -> bool:
        """Whether layers of one name can be computed in it, and change by it: half is for wider types."""
        if self.scheme is not None:
            return all(self.scheme.takes(layer) for layer in layers)
        return self.floating is None or any(layer.weight.dtype == ir.DataType.FLOAT for layer in layers)

    def weight_bytes(self, group: LayerGroup) -> int:
        """What the weights take in the file, scales and zero points with them."""
        return sum(self._bytes_of(layer) for layer in group.distinct)

    def traffic(self, group: LayerGroup) -> float:
        """Bytes of the weights, and of what is multiplied by them for one row of data."""
        return self.weight_bytes(group) + sum(
            group.elements[layer.activation.name or ""] * self._activation_bits(layer) / 8 for layer in group.layers
        )

    def _activation_bits(self, layer: Layer) -> int:
        if self.scheme is not None and self.scheme.activations is not None:
            return int(self.scheme.activations.bitwidth)
        return self._floating_bits(layer)

    def _floating_bits(self, layer: Layer) -> int:
        assert layer.weight.dtype is not None
        held = int(layer.weight.dtype.bitwidth)
        return held if self.floating is None else min(held, int(self.floating.bitwidth))

    def _bytes_of(self, layer: Layer) -> int:
        held = self._floating_bits(layer)
        if self.scheme is None:
            return math.ceil(layer.parameters * held / 8)
        scales = _scales(layer, self.scheme.block)
        bits = (layer.parameters + scales) * self.scheme.weights.bitwidth
        return math.ceil(bits / 8) + math.ceil(scales * held / 8)


@dataclass(frozen=True)
class LayerGroup:
    """The layers of one name, which share what they are computed in.

    Attributes:
        name: of the module that they are from.
        layers: most often one.
        elements: how many numbers a row of data has in what is multiplied, by the tensor's name.
    """

    name: str
    layers: tuple[Layer, ...]
    elements: Mapping[str, float]

    @property
    def distinct(self) -> tuple[Layer, ...]:
        """One of them for each weight."""
        return tuple({layer.weight: layer for layer in self.layers}.values())

    @property
    def parameters(self) -> int:
        """How many numbers their weights hold."""
        return sum(layer.parameters for layer in self.distinct)


def candidate(name: str) -> Candidate:
    """The candidate of a name of CANDIDATE_NAMES, or FLOATING."""
    if name == FLOATING:
        return Candidate(FLOATING)
    return Candidate(name, floating=KEPT[HALF]) if name == HALF else Candidate(name, SCHEMES[name])


def title_of(names: Sequence[str]) -> str:
    """What a file is called whose layers are computed in these: ``floating``, ``all int8`` or ``mixed``.

    Layers that stay floating because half, which all others are in, does not fit them do not make a file mixed.
    """
    used = set(names) - {FLOATING}
    if not used:
        return FLOATING
    return f"all {used.pop()}" if used == {HALF} or len(set(names)) == 1 else "mixed"


def groups_of(layers: Sequence[Layer], elements: Mapping[str, float]) -> tuple[LayerGroup, ...]:
    """Layers by name, in the file's order."""
    return tuple(LayerGroup(name, tuple(of_name), elements) for name, of_name in by_name(layers).items())


def by_name(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Layers by name, in the file's order."""
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.name, []).append(layer)
    return found


def _scales(layer: Layer, block: int | None) -> int:
    if block is None:
        return layer.weight_shape[layer.output_axis]
    return layer.parameters // equal_block(layer.weight_shape[layer.input_axis], block)
