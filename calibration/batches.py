"""Rows of data files, cut for runs of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.inputs.data_notes import DataNotes
from attnexport.backends import Arrays, TensorInfo
from attnexport.engines.inputs import fit_inputs, fit_rows
from attnexport.errors import InputError
from attnexport.files.npz import StoredArray, open_arrays

LABELS = "labels"
"""An array for metrics, of which it needs no telling that no input takes it."""


@dataclass(frozen=True)
class Samples:
    """Rows of data files for one run.

    Attributes:
        source: the file and the rows, for messages.
        arrays: by input name.
        rows: how many.
        file: place of the file among those that are read.
        done: share of all data that has run after them.
        beside: arrays of the same rows that no input takes, as labels, by name.
    """

    source: str
    arrays: Arrays
    rows: int
    file: int
    done: float
    beside: Arrays = field(default_factory=dict)


def batches(
    inputs: Sequence[TensorInfo],
    files: Sequence[Path],
    *,
    size: int,
    limit: int | None,
    beside: Sequence[str] = (),
    notes: DataNotes | None = None,
) -> Iterator[Samples]:
    """The rows of data files; where they are cut, only those of one run are in memory.

    Args:
        inputs: of the ONNX file. Where all have one named first axis, rows are cut; else each file is one run.
        files: with an array for each input.
        size: rows that run at once where they are cut.
        limit: how many rows to run; a file that is not cut runs whole. Default: None, all.
        beside: names of other arrays to cut with them, where a file has them. Default: none.
        notes: takes in what should be known of the files. Default: None.

    Raises:
        InputError: arrays that do not fit.
    """
    cut, left = batch_is_dynamic(inputs), limit
    types = {info.name: info.dtype for info in inputs}
    for position, file in enumerate(files):
        read = 0
        with open_arrays(file) as stored:
            if notes is not None:
                notes.add(file, stored, types, LABELS)
            parts = _rows(inputs, stored, file, size, left, beside) if cut else _whole(inputs, stored, file, beside)
            for part in parts:
                read += part.rows
                yield replace(part, file=position, done=(position + part.done) / len(files))
        left = None if left is None else left - read
        if left is not None and left <= 0:
            return


def _whole(
    inputs: Sequence[TensorInfo], stored: Mapping[str, StoredArray], file: Path, beside: Sequence[str]
) -> Iterator[Samples]:
    fitted = fit_inputs(inputs, stored, file)
    rows = next((len(array) for array in fitted.values() if array.ndim), 1)
    yield Samples(str(file), fitted, rows, 0, 1.0, {name: stored[name].read() for name in beside if name in stored})


def _rows(
    inputs: Sequence[TensorInfo],
    stored: Mapping[str, StoredArray],
    file: Path,
    size: int,
    limit: int | None,
    beside: Sequence[str],
) -> Iterator[Samples]:
    parts = fit_rows(inputs, stored, file, size)
    total = stored[inputs[0].name].shape[0]
    rows = total if limit is None else min(limit, total)
    pieces = {name: _beside(name, stored[name], total, file).pieces(size) for name in beside if name in stored}
    for start, fitted in zip(range(0, rows, size), parts, strict=False):
        stop = min(start + size, rows)
        others = {name: next(piece) for name, piece in pieces.items()}
        arrays, along = _first(fitted, stop - start), _first(others, stop - start)
        yield Samples(f"{file}, rows {start} to {stop - 1}", arrays, stop - start, 0, stop / rows, along)


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


def batch_is_dynamic(inputs: Sequence[TensorInfo]) -> bool:
    """Whether all inputs have one named first axis."""
    firsts = {info.shape[0] if info.shape else None for info in inputs}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str)


def _first(arrays: Arrays, rows: int) -> Arrays:
    return {name: array[:rows] for name, array in arrays.items()}


def _beside(name: str, array: StoredArray, rows: int, file: Path) -> StoredArray:
    if not array.ndim or array.shape[0] != rows:
        raise InputError(f"{file}: {name}: expected {rows} rows, given {array.shape} {array.dtype}")
    return array
