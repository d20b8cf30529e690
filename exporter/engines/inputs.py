"""A user's arrays against the inputs of a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    fitted = {info.name: _fit(info, stored, source) for info in infos}
    _check_named_sizes(infos, fitted, source)
    return fitted


def _fit(info: TensorInfo, stored: Mapping[str, StoredArray], source: Path) -> NDArray[Any]:
    if info.name not in stored:
        given = given_instead(info.name, stored)
        raise InputError(f"{source}: expected an array for input {info}, given {given}")
    array = stored[info.name]
    wanted = np.dtype("float32" if info.dtype == "bfloat16" else info.dtype)
    misfit = InputError(f"{source}: expected {info}, given {array.shape} {array.dtype}")
    if not fits(info.shape, array.shape) or not takes(wanted, array.dtype):
        raise misfit
    if info.profile is not None:
        _check_profile(info.name, info.profile, array.shape, source)
    values = array.read()
    if not holds(wanted, values):
        raise misfit
    return values.astype(wanted)


def _check_profile(name: str, profile: Profile, shape: tuple[int, ...], source: Path) -> None:
    limits = zip(profile.minimum, profile.maximum, shape, strict=True)
    for axis, (low, high, size) in enumerate(limits):
        if not low <= size <= high:
            raise InputError(
                f"{source}: {named('input', name)}, axis {axis}: the engine was built for {low} to {high}, given {size}"
            )


def _check_named_sizes(infos: Sequence[TensorInfo], arrays: Arrays, source: Path) -> None:
    """Refuses a name that stands for two sizes."""
    found = clash((info.name, info.shape, arrays[info.name].shape) for info in infos)
    if found is not None:
        raise InputError(
            f"{source}: {named('input', found.input)}: expected {found.name} to be {found.first_size} as in "
            f"{found.first_input}, given {found.size}"
        )
