"""Operators that trust their arguments and that honest programs need: a program gets a version that checks first.

Each is an operator of the namespace attnexport_checked with the schema of the one in aten, made of a check and a call
of it, so that torch.export and torch.onnx decompose it into that one. What the checks refuse was seen to read or write
outside of tensors: see docs/security.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Arguments = Mapping[str, Any]
Check = Callable[[Arguments], None]

NAMESPACE = "attnexport_checked"


def _require(condition: object, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


def _batch_norm(given: Arguments) -> None:
    """Every statistic has one value for each channel, in a type that the kernel reads it in."""
    values: Tensor = given["input"]
    _require(values.dim() >= 2, f"batch norm: expected (batch, channels, ...), given {values.dim()} axes")
    statistics = [given.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    for each in statistics:
        if each is not None:
            _require(
                each.dim() == 1 and each.shape[0] == values.shape[1],
                f"batch norm: expected one value for each of {values.shape[1]} channels, given {list(each.shape)}",
            )
    mean, variance = statistics[2:]
    _require((mean is None) == (variance is None), "batch norm: expected a running mean and variance, or neither")
    learns = given.get("training", "_no_training" not in given["operator"])
    _require(learns or mean is not None, "batch norm: expected running statistics where none are computed")


def _fourier(given: Arguments) -> None:
    """The axes exist and differ, and the size of the result is that of the values."""
    values: Tensor = given["self"]
    axes = [int(axis) for axis in given["dim"]]
    rank = values.dim()
    _require(all(0 <= axis < rank for axis in axes), f"fft: expected axes from 0 to {rank - 1}, given {axes}")
    _require(len(set(axes)) == len(axes), f"fft: expected different axes, given {axes}")
    _require(
        0 <= given["normalization"] <= 2, f"fft: expected a normalization of 0, 1 or 2, given {given['normalization']}"
    )
    size = given.get("last_dim_size")
    if size is not None:
        _require(axes, "fft: expected at least one axis")
        _require(
            size >= 1 and values.shape[axes[-1]] >= size // 2 + 1,
            f"fft: expected {size} // 2 + 1 values on axis {axes[-1]}, given {values.shape[axes[-1]]}",
        )


def _embedding_bag(given: Arguments) -> None:
    """Bags follow each other within the indices, the indices within the table."""
    weight, indices, offsets = given["weight"], given["indices"], given["offsets"]
    _require(
        (weight.dim(), indices.dim(), offsets.dim()) == (2, 1, 1),
        f"embedding_bag: expected a table and lists of indices and offsets, given {weight.dim()}, {indices.dim()} and "
        f"{offsets.dim()} axes",
    )
    _require(not indices.is_floating_point() and not offsets.is_floating_point(), "embedding_bag: expected integers")
    padding = given.get("padding_idx")
    _require(
        padding is None or -weight.shape[0] <= padding < weight.shape[0],
        f"embedding_bag: expected a padding_idx of {weight.shape[0]} rows, given {padding}",
    )
    _require(0 <= given.get("mode", 0) <= 2, f"embedding_bag: expected a mode of 0, 1 or 2, given {given.get('mode')}")
    shares = given.get("per_sample_weights")
    _require(
        shares is None or shares.shape == indices.shape,
        "embedding_bag: expected one of per_sample_weights for each index",
    )
    _require(offsets.numel() or not given.get("include_last_offset"), "embedding_bag: expected an offset")
    if _is_known(offsets) and _is_known(indices):
        _bags_within(offsets, indices, weight.shape[0])


def _bags_within(offsets: Tensor, indices: Tensor, rows: int) -> None:
    bounds = [0, *offsets.tolist(), indices.numel()]
    _require(
        bounds == sorted(bounds) and not offsets[:1].any(),
        f"embedding_bag: expected offsets that rise from 0 to at most {indices.numel()}",
    )
    inside = (indices >= 0) & (indices < rows)
    _require(inside.all(), f"embedding_bag: expected indices from 0 to {rows - 1}")


def _weight_norm(given: Arguments) -> None:
    """One length for each vector along the axis."""
    vectors, lengths, axis = given["v"], given["g"], given.get("dim", 0)
    _require(vectors.dim() >= 1 and -1 <= axis < vectors.dim(), f"weight_norm: expected an axis of v, given {axis}")
    expected = [size if position == axis else 1 for position, size in enumerate(vectors.shape)]
    _require(
        list(lengths.shape) == (expected if axis >= 0 else []),
        f"weight_norm: expected g of shape {expected if axis >= 0 else []}, given {list(lengths.shape)}",
    )


def _resampling(given: Arguments) -> None:
    """A scale that is given leads from the size of the values to that of the result."""
    for scale in given.get("scale_factors") or ():
        _require(1e-3 <= scale <= 1e3, f"interpolate with antialias: expected scales from 0.001 to 1000, given {scale}")
    if "self" not in given or given["self"].dim() != 4 or len(given["output_size"]) != 2:
        return
    scales = (given.get("scales_h"), given.get("scales_w"))
    for size, result, scale in zip(given["self"].shape[2:], given["output_size"], scales, strict=True):
        if scale is not None and type(size) is type(result) is int:
            _require(
                math.isfinite(scale) and int(size * scale) == result,
                f"interpolate with antialias: expected {size} to become {result} by the scale, given {scale}",
            )


def _is_known(tensor: Tensor) -> bool:
    """Whether a tensor has values: while a program is traced it has not."""
    return type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type != "meta"


_CHECKS: dict[str, Check] = {
    "_batch_norm_with_update_functional": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_functional": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_batch_norm": _batch_norm,
    "_fft_c2c": _fourier,
    "_fft_c2r": _fourier,
    "_fft_r2c": _fourier,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    "embedding_bag": _embedding_bag,
    "_weight_norm": _weight_norm,
    "_upsample_bicubic2d_aa": _resampling,
    "_upsample_bilinear2d_aa": _resampling,
}


def checked_version(name: str, overload: str) -> str | None:
    """The name of the operator that checks its arguments before it calls `aten.name.overload`.

    Returns:
        A name such as ``torch.ops.attnexport_checked._fft_c2r.default``, None where nothing needs to be checked.
    """
    if name not in _CHECKS:
        return None
    _register(name, overload)
    return f"torch.ops.{NAMESPACE}.{name}.{overload}"


@functools.cache
def _library() -> torch.library.Library:
    return torch.library.Library(NAMESPACE, "DEF")


@functools.cache
def _register(name: str, overload: str) -> None:
    operator = getattr(getattr(torch.ops.aten, name), overload)
    schema = operator._schema
    qualified = name if overload == "default" else f"{name}.{overload}"
    _library().define(qualified + str(schema)[len(operator.name()) :])
    names = [argument.name for argument in schema.arguments]

    def run(*args: Any, **kwargs: Any) -> Any:
        _CHECKS[name]({"operator": name, **dict(zip(names, args, strict=False)), **kwargs})
        return operator(*args, **kwargs)

    _library().impl(qualified, run, "CompositeImplicitAutograd")
