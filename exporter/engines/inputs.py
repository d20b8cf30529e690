"""A user's arrays against the inputs of a model file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.backends import Arrays, TensorInfo
from attnexport.errors import InputError
from attnexport.files.fitting import clash, fits, holds, takes
from attnexport.files.npz import StoredArray, given_instead
from attnexport.messages import named
from attnexport.plugins.runtime.request import Profile


def fit_inputs(infos: Sequence[TensorInfo], stored: Mapping[str, StoredArray], source: Path) -> dict[str, NDArray[Any]]:
    """An array for each input, in the input's type; float32 for bfloat16, which NumPy lacks.

    Args:
        infos: the inputs of a model file.
        stored: the arrays of an open file by name; those that no input takes are not read.
        source: the file that they are from, for messages.

    Raises:
        InputError: an input without an array, or one of another kind, rank or size, or outside the engine's
            profile, or a named size that differs between inputs.
    """
    fitting = _fitting(infos, stored, source)
    return _in_types(infos, fitting, {name: array.read() for name, array in fitting.items()}, source)


def fit_rows(
    infos: Sequence[TensorInfo], stored: Mapping[str, StoredArray], source: Path, rows: int
) -> Iterator[dict[str, NDArray[Any]]]:
    """What :func:`fit_inputs` gives, ``rows`` at a time of inputs that share their first axis, while the file is open.

    Only these rows are in memory.

    Args:
        infos: the inputs of a model file, whose first axis has one name.
        stored: the arrays of an open file by name.
        source: the file that they are from, for messages.
        rows: how many at a time.

    Raises:
        InputError: as for :func:`fit_inputs`.
    """
    fitting = _fitting(infos, stored, source)
    cut = zip(*(fitting[info.name].pieces(rows) for info in infos), strict=True)
    return (_in_types(infos, fitting, dict(zip(fitting, pieces, strict=True)), source) for pieces in cut)


def _fitting(infos: Sequence[TensorInfo], stored: Mapping[str, StoredArray], source: Path) -> dict[str, StoredArray]:
    """The array of each input, whose values were not read."""
    found = {info.name: _fit(info, stored, source) for info in infos}
    _check_named_sizes(infos, found, source)
    return found


def _fit(info: TensorInfo, stored: Mapping[str, StoredArray], source: Path) -> StoredArray:
    if info.name not in stored:
        given = given_instead(info.name, stored)
        raise InputError(f"{source}: expected an array for input {info}, given {given}")
    array = stored[info.name]
    if not fits(info.shape, array.shape) or not takes(_dtype_of(info), array.dtype):
        raise _misfit(info, array, source)
    if info.profile is not None:
        _check_profile(info.name, info.profile, array.shape, source)
    return array


def _in_types(
    infos: Sequence[TensorInfo], fitting: Mapping[str, StoredArray], values: Arrays, source: Path
) -> dict[str, NDArray[Any]]:
    """Values of the arrays in the types of the inputs."""
    found = {}
    for info in infos:
        wanted = _dtype_of(info)
        if not holds(wanted, values[info.name]):
            raise _misfit(info, fitting[info.name], source)
        found[info.name] = values[info.name].astype(wanted, copy=False)
    return found


def _dtype_of(info: TensorInfo) -> np.dtype[Any]:
    return np.dtype("float32" if info.dtype == "bfloat16" else info.dtype)


def _misfit(info: TensorInfo, array: StoredArray, source: Path) -> InputError:
    return InputError(f"{source}: expected {info}, given {array.shape} {array.dtype}")


def _check_profile(name: str, profile: Profile, shape: tuple[int, ...], source: Path) -> None:
    limits = zip(profile.minimum, profile.maximum, shape, strict=True)
    for axis, (low, high, size) in enumerate(limits):
        if not low <= size <= high:
            raise InputError(
                f"{source}: {named('input', name)}, axis {axis}: the engine was built for {low} to {high}, given {size}"
            )


def _check_named_sizes(infos: Sequence[TensorInfo], arrays: Mapping[str, StoredArray], source: Path) -> None:
    """Refuses a name that stands for two sizes."""
    found = clash((info.name, info.shape, arrays[info.name].shape) for info in infos)
    if found is not None:
        raise InputError(
            f"{source}: {named('input', found.input)}: expected {found.name} to be {found.first_size} as in "
            f"{found.first_input}, given {found.size}"
        )
