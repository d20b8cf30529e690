"""A user's arrays against the inputs of a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.backends import Arrays, TensorInfo
from attnexport.backends.building import Profile
from attnexport.errors import InputError


def fit_inputs(infos: Sequence[TensorInfo], arrays: Arrays, source: Path) -> dict[str, NDArray[Any]]:
    """An array for each input, in the input's type; float32 for bfloat16, which NumPy lacks.

    Args:
        infos: the inputs of a model file.
        arrays: by name.
        source: the file that they are from, for messages.

    Raises:
        InputError: an input without an array, or one of another kind, rank or size, outside the engine's profile or
            empty, or a named size that differs between inputs.
    """
    fitted = {info.name: _fit(info, arrays, source) for info in infos}
    _check_named_sizes(infos, fitted, source)
    return fitted


def _fit(info: TensorInfo, arrays: Arrays, source: Path) -> NDArray[Any]:
    if info.name not in arrays:
        given = ", ".join(sorted(arrays)) or "none"
        raise InputError(f"{source}: expected an array for input {info}, given {given}")
    array = arrays[info.name]
    wanted = np.dtype("float32" if info.dtype == "bfloat16" else info.dtype)
    fits = array.ndim == len(info.shape) and all(
        size in (-1, given) for size, given in zip(info.shape, array.shape, strict=True) if isinstance(size, int)
    )
    if not fits or not _same_kind(array, wanted):
        raise InputError(f"{source}: expected {info}, given {array.shape} {array.dtype}")
    if info.profile is not None:
        _check_profile(info.name, info.profile, array, source)
    if array.size == 0 and 0 not in info.shape:
        raise InputError(f"{source}: input {info.name}: expected sizes of 1 or more, given {array.shape}")
    return array.astype(wanted)


def _check_profile(name: str, profile: Profile, array: NDArray[Any], source: Path) -> None:
    limits = zip(profile.minimum, profile.maximum, array.shape, strict=True)
    for axis, (low, high, size) in enumerate(limits):
        if not low <= size <= high:
            raise InputError(
                f"{source}: input {name}, axis {axis}: the engine was built for {low} to {high}, given {size}"
            )


def _check_named_sizes(infos: Sequence[TensorInfo], arrays: Arrays, source: Path) -> None:
    """Refuses a name that stands for two sizes."""
    first: dict[str, tuple[str, int]] = {}
    for info in infos:
        for name, size in zip(info.shape, arrays[info.name].shape, strict=True):
            if not isinstance(name, str):
                continue
            other, expected = first.setdefault(name, (info.name, size))
            if size != expected:
                raise InputError(
                    f"{source}: input {info.name}: expected {name} to be {expected} as in {other}, given {size}"
                )


def _same_kind(array: NDArray[Any], wanted: np.dtype[Any]) -> bool:
    """Whether the array's values have a place in the wanted type, rounding of floats apart."""
    if wanted.kind in "iu" and array.dtype.kind in "biu":
        limits = np.iinfo(wanted)
        return array.size == 0 or (limits.min <= int(array.min()) and int(array.max()) <= limits.max)
    return array.dtype.kind == wanted.kind
