"""Arrays in .npz files, without pickled objects."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.errors import InputError
from attnexport.files import replacing
from attnexport.plugins import bfloat16

_BFLOAT16 = np.dtype("V2")
"""What NumPy, which has no bfloat16, takes its two bytes for."""


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name, read without unpickling objects; bfloat16, two raw bytes, as float32.

    Raises:
        InputError: no file there, or no .npz of plain arrays.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array without a name")
        with archive:
            return {name: _widened(archive[name]) for name in archive.files}
    except (ValueError, TypeError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: expected an .npz archive of plain arrays: {error}") from error


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes an uncompressed .npz file whole or not at all; unlike numpy.savez under any names.

    Raises:
        InputError: the file cannot be written.
        ValueError: an array of objects.
    """
    with replacing(file) as staging, zipfile.ZipFile(staging / file.name, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    return bfloat16.values_of(array.view(np.uint16)) if array.dtype == _BFLOAT16 else array
