"""Reads scales and rounded weights of layers off the files that ModelOpt wrote, which are held to what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from attnexport.accuracy.errors.distance import relative_l2
from attnexport.calibration.layers import Layer
from attnexport.calibration.modelopt.copying import is_turned, name_of
from attnexport.calibration.ranges import Range
from attnexport.calibration.rewriting import FP8, INT4, INT8, LARGEST, Rounded, equal_block, rounded_to
from attnexport.calibration.schemes import Scheme
from attnexport.errors import BackendError
from attnexport.graph.half_rules import constant_of

_FARTHEST = {INT8: 0.1, FP8: 0.1, INT4: 0.5}
"""Relative L2 errors beyond which a stored weight is taken for another."""


@dataclass(frozen=True)
class _Pair:
    """A DequantizeLinear, and what is in front of it: the floating values of a QuantizeLinear, or what is stored.

    Attributes:
        floating: a constant that a QuantizeLinear rounds; None where it stores it rounded, or where it is computed.
        stored: a constant that is rounded already; None else.
        scale: of any shape.
        dtype: that is rounded to.
    """

    floating: NDArray[Any] | None
    stored: NDArray[Any] | None
    scale: NDArray[Any]
    dtype: ir.DataType


def read_weights(files: Sequence[Path], layers: Sequence[Layer], scheme: Scheme) -> dict[str, Rounded]:
    """How the weights of layers were rounded, by the name of the weight.

    Raises:
        BackendError: what is no weight of these layers in this scheme.
    """
    found = {}
    for layer, node in _nodes(files, layers):
        pair = _pair(layer, node.inputs[1])
        if pair is not None:
            found[layer.weight.name or ""] = _rounded(layer, pair, scheme)
    return found


def read_activations(files: Sequence[Path], layers: Sequence[Layer], dtype: ir.DataType) -> Mapping[str, Range]:
    """The symmetric ranges of what quantized layers multiply, by the tensor's name.

    Raises:
        BackendError: a scale that is not one positive number, or another type.
    """
    found = {}
    for layer, node in _nodes(files, layers):
        pair = _pair(layer, node.inputs[0])
        if pair is None and _pair(layer, node.inputs[1]) is not None:
            raise _misfit(layer, "expected a quantized activation, given a floating one")
        if pair is not None:
            _check(layer, pair, dtype)
            if pair.scale.size != 1:
                raise _misfit(layer, f"expected one scale of its activation, given {pair.scale.size}")
            magnitude = float(pair.scale.astype(np.float64).reshape(())) * LARGEST[dtype]
            found[layer.activation.name or ""] = Range(-magnitude, magnitude, -magnitude, magnitude)
    return found


def _nodes(files: Sequence[Path], layers: Sequence[Layer]) -> Iterator[tuple[Layer, ir.Node]]:
    named = {name_of(position): layer for position, layer in enumerate(layers)}
    for file in files:
        for node in ir.load(file).graph:
            if node.name in named and node.op_type == named[node.name].node.op_type:
                yield named[node.name], node


def _pair(layer: Layer, value: ir.Value | None) -> _Pair | None:
    """What stands in front of an operand, or None where it is not quantized."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear":
        return None
    source, scale = node.inputs[0], node.inputs[1]
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    typed = zero if zero is not None else source
    scales = None if scale is None else constant_of(scale)
    zeros = None if zero is None else constant_of(zero)
    if source is None or typed is None or typed.dtype is None or scales is None or (zero is not None and zeros is None):
        raise _misfit(layer, "expected constant scales and zero points, given computed")
    if zeros is not None and zeros.astype(np.float64).any():
        raise _misfit(layer, "expected zero points of 0, given others")
    quantizer = source.producer()
    if quantizer is None or quantizer.op_type != "QuantizeLinear":
        return _Pair(None, constant_of(source), scales, typed.dtype)
    floating = quantizer.inputs[0]
    return _Pair(None if floating is None else constant_of(floating), None, scales, typed.dtype)


def _rounded(layer: Layer, pair: _Pair, scheme: Scheme) -> Rounded:
    _check(layer, pair, scheme.weights)
    turned = is_turned(layer)
    held = constant_of(layer.weight)
    assert held is not None
    if scheme.block is None:
        axis, block = layer.output_axis, None
        shape: tuple[int, ...] = (layer.weight_shape[axis],)
        scale = np.broadcast_to(pair.scale.reshape(-1), shape) if pair.scale.size in (1, *shape) else pair.scale
    else:
        axis = layer.input_axis
        block = equal_block(layer.weight_shape[axis], scheme.block)
        shape = tuple(size // block if at == axis else size for at, size in enumerate(layer.weight_shape))
        scale = pair.scale.T if turned else pair.scale
    if scale.shape != shape:
        raise _misfit(layer, f"expected scales {shape} of its weight, given {pair.scale.shape}")
    scale = np.asarray(scale, held.dtype)
    if pair.stored is None and pair.floating is None:
        raise _misfit(layer, "expected a constant weight, given a computed one")
    if pair.stored is None:
        return Rounded(rounded_to(held, scale, axis, block, scheme.weights), scale)
    stored = pair.stored.T if turned else pair.stored
    if stored.shape != layer.weight_shape:
        raise _misfit(layer, f"expected a weight {layer.weight_shape}, given {stored.shape}")
    made = Rounded(np.asarray(stored, scheme.weights.numpy()), scale)
    error = relative_l2(made.floating(axis, block), held)
    if error > _FARTHEST[scheme.weights]:
        raise _misfit(layer, f"expected its weight, given one of a relative L2 error of {error:.2g}")
    return made


def _check(layer: Layer, pair: _Pair, dtype: ir.DataType) -> None:
    if pair.dtype != dtype:
        raise _misfit(layer, f"expected {dtype}, given {pair.dtype}")
    if not (np.isfinite(pair.scale.astype(np.float64)) & (pair.scale > 0)).all():
        raise _misfit(layer, "expected positive scales, given others")


def _misfit(layer: Layer, said: str) -> BackendError:
    return BackendError(f"ModelOpt: layer {layer.name}: {said}")
