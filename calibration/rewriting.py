"""Writes Q/DQ nodes around layers, in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common
from numpy.typing import NDArray

from attnexport.calibration.layers import Layer
from attnexport.calibration.ranges import Range
from attnexport.errors import InputError
from attnexport.graph.half_rules import constant_of

INT8, FP8, INT4 = ir.DataType.INT8, ir.DataType.FLOAT8E4M3FN, ir.DataType.INT4
LARGEST = {INT8: 127.0, INT4: 7.0, FP8: 448.0}
"""What symmetric scales map the largest magnitude to."""
_SMALLEST_SCALE = 2.0**-100
_INT4_SHARES = np.linspace(0.7, 1.0, 16)[::-1]


@dataclass(frozen=True)
class Rounded:
    """A weight as it is stored.

    Attributes:
        values: of the weight's shape and the quantized type.
        scale: (outputs,), the weight's shape with blocks in place of what is summed, or () for one.
    """

    values: NDArray[Any]
    scale: NDArray[Any]

    def floating(self, axis: int, block: int | None) -> NDArray[np.float64]:
        """What it stands for; ``axis`` is that of the outputs, or the one along which blocks lie."""
        return self.values.astype(np.float64) * _spread(self.scale, self.values.ndim, axis, block)


def quantize_activations(
    model: ir.Model, layers: Iterable[Layer], ranges: Mapping[str, Range], dtype: ir.DataType
) -> None:
    """Puts one Q/DQ pair on each tensor that the layers multiply; what else reads the tensor is left as it is.

    A tensor that layers read in several types gets a pair of each, by a call for each.

    Args:
        model: rewritten in place.
        layers: of the model.
        ranges: of their activations, by name.
        dtype: INT8 or FP8, symmetric.
    """
    pairs: dict[str, ir.Value] = {}
    for layer in layers:
        source = layer.activation
        name = source.name or ""
        if name not in pairs:
            scale = _scale_of(np.asarray(ranges[name].magnitude), dtype, _float_of(source))
            pairs[name] = _pair(model, layer.node, source, scale, dtype)
        layer.node.replace_input_with(0, pairs[name])


def quantize_weights(
    model: ir.Model,
    layers: Iterable[Layer],
    dtype: ir.DataType,
    *,
    block: int | None = None,
    by_output: bool = True,
    rounded: Mapping[str, Rounded] | None = None,
) -> None:
    """Puts a quantized constant behind a DequantizeLinear in place of each layer's weight, symmetric.

    Args:
        model: rewritten in place.
        layers: of the model.
        dtype: INT8, FP8 or INT4.
        block: how many numbers that are summed share a scale, about: blocks are equal, for TensorRT reads their size
            off the number of scales. Default: None, no blocks.
        by_output: a scale for each output where there are no blocks, or one for the whole weight. Default: True.
        rounded: weights by name that somebody else rounded so. Default: None, all are rounded here.
    """
    given, done = rounded or {}, dict[ir.Value, ir.Value]()
    for layer in layers:
        if layer.weight not in done:
            axis = layer.input_axis if block is not None else layer.output_axis if by_output else None
            known = given.get(layer.weight.name or "")
            done[layer.weight] = _dequantized(model, layer, dtype, axis, block, known)
        layer.node.replace_input_with(1, done[layer.weight])
    remove_unused(model)


def remove_unused(model: ir.Model) -> None:
    """Removes constants that nothing reads any more."""
    ir.passes.common.RemoveUnusedNodesPass()(model)


def cast_layers(model: ir.Model, layers: Iterable[Layer], dtype: ir.DataType) -> None:
    """Has layers compute in another floating type, with casts around them.

    Args:
        model: rewritten in place.
        layers: of the model; a Gemm's or Conv's bias is cast too.
        dtype: FLOAT, FLOAT16 or BFLOAT16.
    """
    for layer in layers:
        node, output = layer.node, layer.node.outputs[0]
        if output.dtype == dtype:
            continue
        for position, value in enumerate(node.inputs):
            if value is not None:
                node.replace_input_with(position, _cast(model, node, value, dtype))
        _cast_back(model, node, output, dtype)
    remove_unused(model)


def _cast_back(model: ir.Model, node: ir.Node, output: ir.Value, dtype: ir.DataType) -> None:
    """Gives what reads an output its old type, under its old name."""
    name, before = output.name, output.dtype
    assert before is not None
    wide = ir.val(f"{name}_cast", dtype=before, shape=output.shape)
    ir.convenience.replace_all_uses_with(output, wide, replace_graph_outputs=True)
    output.name, output.dtype, wide.name = f"{name}_{dtype.name.lower()}", dtype, name
    cast = ir.node("Cast", [output], {"to": int(before)}, outputs=[wide], name=f"{name}_Cast")
    model.graph.insert_after(node, cast)


def _cast(model: ir.Model, before: ir.Node, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    held = constant_of(value)
    name = f"{value.name}_{dtype.name.lower()}"
    if held is not None:
        known = model.graph.initializers.get(name)
        return known if known is not None else _initializer(model, name, _narrowed(value, held, dtype), dtype)
    result = ir.val(f"{name}_{before.outputs[0].name}", dtype=dtype, shape=value.shape)
    model.graph.insert_before(before, ir.node("Cast", [value], {"to": int(dtype)}, outputs=[result]))
    return result


def _narrowed(value: ir.Value, held: NDArray[Any], dtype: ir.DataType) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        narrow = held.astype(dtype.numpy())
    if np.isinf(narrow.astype(np.float32)).any():
        largest = float(np.abs(held.astype(np.float64)).max())
        raise InputError(f"weight {value.name}: expected values that {dtype.name.lower()} holds, given {largest:.3g}")
    return narrow


def _pair(model: ir.Model, before: ir.Node, source: ir.Value, scale: NDArray[Any], dtype: ir.DataType) -> ir.Value:
    name = _free_stem(model, source, dtype)
    scale_value = _initializer(model, f"{name}_scale", scale)
    zero = _initializer(model, f"{name}_zero_point", np.zeros((), dtype.numpy()), dtype)
    quantized = ir.val(f"{name}_quantized", dtype=dtype, shape=source.shape)
    result = ir.val(f"{name}_dequantized", dtype=source.dtype, shape=source.shape)
    nodes = [
        ir.node("QuantizeLinear", [source, scale_value, zero], outputs=[quantized], name=f"{name}_QuantizeLinear"),
        ir.node("DequantizeLinear", [quantized, scale_value, zero], outputs=[result], name=f"{name}_DequantizeLinear"),
    ]
    model.graph.insert_before(before, nodes)
    return result


def _dequantized(
    model: ir.Model, layer: Layer, dtype: ir.DataType, axis: int | None, block: int | None, given: Rounded | None
) -> ir.Value:
    held = constant_of(layer.weight)
    assert held is not None
    name = _free_stem(model, layer.weight, dtype)
    block = None if block is None else equal_block(held.shape[layer.input_axis], block)
    made = given or _rounded(held, _float_of(layer.weight), axis, block, dtype)
    scale, stored = made.scale, made.values
    values = _initializer(model, f"{name}_quantized", stored, dtype)
    scales = _initializer(model, f"{name}_scale", scale)
    zero = _initializer(model, f"{name}_zero_point", np.zeros(scale.shape, dtype.numpy()), dtype)
    result = ir.val(f"{name}_dequantized", dtype=layer.weight.dtype, shape=layer.weight.shape)
    given_by = {"axis": axis, "block_size": block}
    attributes = {name: value for name, value in given_by.items() if value is not None}
    node = ir.node(
        "DequantizeLinear", [values, scales, zero], attributes, outputs=[result], name=f"{name}_DequantizeLinear"
    )
    model.graph.insert_before(layer.node, node)
    return result


def equal_block(summed: int, wanted: int) -> int:
    """The size nearest to the wanted one, by factor, that cuts ``summed`` numbers into equal blocks."""
    sizes = (size for size in range(1, summed + 1) if summed % size == 0)
    return min(sizes, key=lambda size: max(size / wanted, wanted / size))


def _free_stem(model: ir.Model, value: ir.Value, dtype: ir.DataType) -> str:
    """What the names of a tensor's pair begin with: its own, with the type behind it where it has a pair of another."""
    taken = f"{value.name}_scale" in model.graph.initializers
    return f"{value.name}_{dtype.name.lower()}" if taken else f"{value.name}"


def _magnitudes(weight: NDArray[np.float64], axis: int | None, block: int | None) -> NDArray[np.float64]:
    """The largest magnitude of each slice along ``axis``, of each block along it, or of all."""
    sizes = np.abs(weight)
    if axis is None:
        return np.asarray(sizes.max())
    if block is None:
        return np.asarray(sizes.max(axis=tuple(other for other in range(weight.ndim) if other != axis)))
    return np.asarray(np.maximum.reduceat(sizes, list(range(0, weight.shape[axis], block)), axis=axis))


def _rounded(
    held: NDArray[Any], floating: np.dtype[Any], axis: int | None, block: int | None, dtype: ir.DataType
) -> Rounded:
    weight = held.astype(np.float64)
    magnitude = _magnitudes(weight, axis, block)
    if dtype == INT4 and axis is not None and block is not None:
        magnitude = _with_least_error(weight, magnitude, floating, axis, block)
    scale = _scale_of(magnitude, dtype, floating)
    return Rounded(rounded_to(held, scale, axis, block, dtype), scale)


def _with_least_error(
    weight: NDArray[np.float64], magnitude: NDArray[np.float64], floating: np.dtype[Any], axis: int, block: int
) -> NDArray[np.float64]:
    """The share of each block's magnitude at which int4 has the least squared error; the largest numbers saturate."""
    starts = list(range(0, weight.shape[axis], block))
    least, best = np.full(magnitude.shape, np.inf), magnitude
    for share in _INT4_SHARES:
        scale = _scale_of(share * magnitude, INT4, floating)
        values = rounded_to(weight, scale, axis, block, INT4).astype(np.float64)
        errors = (values * _spread(scale, weight.ndim, axis, block) - weight) ** 2
        error = np.add.reduceat(errors, starts, axis=axis)
        best, least = np.where(error < least, share * magnitude, best), np.minimum(error, least)
    return best


def rounded_to(
    weight: NDArray[Any], scale: NDArray[Any], axis: int | None, block: int | None, dtype: ir.DataType
) -> NDArray[Any]:
    """The nearest values of a type at given scales.

    Args:
        weight: floating.
        scale: (outputs,), the weight's shape with blocks in place of what is summed, or ().
        axis: of the outputs, or the one along which blocks lie; None for one scale.
        block: their size; None without.
        dtype: INT8, FP8 or INT4.
    """
    limit = LARGEST[dtype]
    lowest = -limit - 1 if dtype == INT4 else -limit
    values = np.clip(weight.astype(np.float64) / _spread(scale, weight.ndim, axis, block), lowest, limit)
    if dtype == FP8:
        return np.asarray(values.astype(np.float32).astype(ml_dtypes.float8_e4m3fn))
    return np.asarray(np.rint(values).astype(np.int8).astype(dtype.numpy()))


def _spread(scale: NDArray[Any], ndim: int, axis: int | None, block: int | None) -> NDArray[np.float64]:
    """Scales in a shape that broadcasts with the weight."""
    wide = scale.astype(np.float64)
    if axis is None:
        return wide.reshape(())
    if block is not None:
        return np.repeat(wide, block, axis=axis)
    sizes = [1] * ndim
    sizes[axis] = -1
    return wide.reshape(sizes)


def _scale_of(magnitude: NDArray[Any], dtype: ir.DataType, floating: np.dtype[Any]) -> NDArray[Any]:
    """Scales as the file holds them, none of which is 0 or rounds to it; of zeros alone one that any type holds."""
    magnitude = np.where(magnitude == 0, LARGEST[dtype], magnitude)
    least = max(_SMALLEST_SCALE, float(ml_dtypes.finfo(floating).smallest_subnormal))
    return np.maximum(np.asarray(magnitude, np.float64) / LARGEST[dtype], least).astype(floating)


def _float_of(value: ir.Value) -> np.dtype[Any]:
    assert value.dtype is not None
    return np.dtype(value.dtype.numpy())


def _initializer(model: ir.Model, name: str, values: NDArray[Any], dtype: ir.DataType | None = None) -> ir.Value:
    value = ir.val(name, const_value=ir.Tensor(np.asarray(values, order="C"), dtype=dtype, name=name))
    model.graph.register_initializer(value)
    return value
