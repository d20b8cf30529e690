"""Rows of data files, cut for runs of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.backends import Arrays, TensorInfo
from attnexport.engines.inputs import fit_inputs
from attnexport.errors import InputError
from attnexport.files.npz import StoredArray, open_arrays


@dataclass(frozen=True)
class Samples:
    """Rows of data files for one run.

    Attributes:
        source: the file and the rows, for messages.
        arrays: by input name.
        rows: how many.
        done: share of all data that has run after them.
        beside: arrays of the same rows that no input takes, as labels, by name.
    """

    source: str
    arrays: Arrays
    rows: int
    done: float
    beside: Arrays = field(default_factory=dict)


def batches(
    inputs: Sequence[TensorInfo], files: Sequence[Path], *, size: int, limit: int | None, beside: Sequence[str] = ()
) -> Iterator[Samples]:
    """The rows of data files; a file at a time is in memory.

    Args:
        inputs: of the ONNX file. Where all have one named first axis, rows are cut; else each file is one run.
        files: with an array for each input.
        size: rows that run at once where they are cut.
        limit: how many rows to run; a file that is not cut runs whole. Default: None, all.
        beside: names of other arrays to cut with them, where a file has them. Default: none.

    Raises:
        InputError: arrays that do not fit.
    """
    cut, left = _batch_is_dynamic(inputs), limit
    for position, file in enumerate(files):
        with open_arrays(file) as stored:
            fitted = fit_inputs(inputs, stored, file)
            rows = next((len(array) for array in fitted.values() if array.ndim), 1)
            others = {name: _beside(name, stored, rows if cut else None, file) for name in beside if name in stored}
        if not cut:
            yield Samples(str(file), fitted, rows, (position + 1) / len(files), others)
        else:
            rows = rows if left is None else min(rows, left)
            for start in range(0, rows, size):
                stop = min(start + size, rows)
                done = (position + stop / rows) / len(files)
                source = f"{file}, rows {start} to {stop - 1}"
                yield Samples(source, _part(fitted, start, stop), stop - start, done, beside=_part(others, start, stop))
        if left is not None:
            left -= rows
            if left <= 0:
                return


def finite_values(name: str, values: NDArray[Any], source: str) -> NDArray[np.float32]:
    """A tensor's values in float32.

    Raises:
        InputError: some of them are not finite.
    """
    wide = np.asarray(values, np.float32)
    if not np.isfinite(wide).all():
        others = int((~np.isfinite(wide)).sum())
        raise InputError(f"{source}: tensor {name}: expected finite values, given {others} others")
    return wide


def _batch_is_dynamic(inputs: Sequence[TensorInfo]) -> bool:
    """Whether all inputs have one named first axis."""
    firsts = {info.shape[0] if info.shape else None for info in inputs}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str)


def _part(arrays: Arrays, start: int, stop: int) -> Arrays:
    return {name: array[start:stop] for name, array in arrays.items()}


def _beside(name: str, stored: Mapping[str, StoredArray], rows: int | None, file: Path) -> NDArray[Any]:
    array = stored[name]
    if rows is not None and (not array.ndim or array.shape[0] != rows):
        raise InputError(f"{file}: {name}: expected {rows} rows, given {array.shape} {array.dtype}")
    return array.read()
