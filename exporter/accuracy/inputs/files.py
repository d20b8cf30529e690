"""Inputs for the accuracy check, read from .npz files in batches."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.accuracy.inputs.data_notes import DataNotes
from attnexport.errors import InputError
from attnexport.files.arrays import dtype_name
from attnexport.files.fitting import fits, holds, takes
from attnexport.files.npz import StoredArray, given_instead, open_arrays
from attnexport.messages import named
from attnexport.models.loading.dim_texts import limits_missed
from attnexport.models.model import Model
from attnexport.models.program import Size, TensorSpec

DATA = "data"
LABELS = "labels"
BATCH = 64
"""Rows of a data file that run at once where the batch is dynamic."""


@dataclass(frozen=True)
class Batch:
    """Tensors for one run.

    Attributes:
        source: where they are from, for messages.
        tensors: in the order of the program's inputs.
        labels: the right class of every prediction, or None.
        rows: how many samples these are, where known.
        kind: the kind of inputs that they are of; ``data`` for data that the user gave.
        name: of the file that outputs for them are in, without its suffix.
        first_row, file_rows: where they begin in their file, and how many rows that has.
        done: share of all inputs that has run after them, for a progress bar.
        empty: which input has a size of 0 and on which axis, for messages; empty where none has.
    """

    source: str
    tensors: tuple[Tensor, ...]
    labels: NDArray[Any] | None = field(default=None, compare=False)
    rows: int = 1
    kind: str = DATA
    name: str = ""
    first_row: int = 0
    file_rows: int = 1
    done: float = 1.0
    empty: str = ""


def data_batches(
    model: Model, path: str | os.PathLike[str], *, limit: int | None = None, notes: DataNotes | None = None
) -> Iterator[Batch]:
    """The rows of .npz files in batches; arrays go by the inputs' names, ``labels`` beside them if present.

    Buffers that are inputs start from what the model came with, in every batch, unless a file has an array for them.

    Args:
        model: the model.
        path: an .npz file or a folder of them.
        limit: about how many rows to read; a static batch is never cut. Default: None, all.
        notes: takes in what should be known of the files. Default: None.

    Raises:
        InputError: a file that is no .npz, lacks an input, or whose shapes, sizes or dtypes do not fit.
    """
    left = limit
    files = data_files(path)
    for position, file in enumerate(files):
        reader = _Reader(file, model)
        with open_arrays(file) as stored:
            if notes is not None:
                notes.add(file, stored, {spec.name: dtype_name(spec.dtype) for spec in model.inputs}, LABELS)
            content = reader.content(stored)
        for batch in reader.batches(*content, left):
            yield replace(batch, done=(position + batch.done) / len(files))
            left = None if left is None else left - batch.rows
        if left is not None and left <= 0:
            return


def whole_file(
    model: Model,
    file: Path,
    *,
    labels: Path | None = None,
    kind: str = DATA,
    done: float = 1.0,
) -> Batch:
    """All rows of an .npz file as one batch.

    Args:
        model: the model.
        file: arrays by the inputs' names.
        labels: a file with an array ``labels``. Default: None.
        kind, done: of the batch.

    Raises:
        InputError: a file that is no .npz, lacks an input, or whose shapes, sizes or dtypes do not fit.
    """
    reader = _Reader(file, model)
    with open_arrays(file) as stored:
        batch = reader.whole(stored)
    if labels is not None:
        with open_arrays(labels) as stored:
            batch = replace(batch, labels=reader.labels(stored))
    return replace(batch, kind=kind, done=done)


def _batch_size(specs: Sequence[TensorSpec]) -> Size | None:
    """What axis 0 of the inputs that share a batch is called: the first dynamic size there, else the first."""
    leading = [spec.shape[0] for spec in specs if spec.shape and not spec.is_state]
    dynamic = [size for size in leading if isinstance(size, str)]
    return (dynamic or leading or [None])[0]


def _uncut(spec: TensorSpec, given: Sequence[int]) -> tuple[Size, ...]:
    """Sizes of an input whose first axis is cut: a fixed batch takes any number of whole batches."""
    batch = spec.shape[0]
    whole = isinstance(batch, int) and batch > 0 and not spec.is_state and given and given[0] % batch == 0
    return (given[0], *spec.shape[1:]) if whole else spec.shape


@dataclass(frozen=True)
class _Reader:
    """Fits one file's arrays to the model's inputs and cuts them into batches."""

    file: Path
    model: Model

    @property
    def specs(self) -> Sequence[TensorSpec]:
        """The model's inputs."""
        return self.model.inputs

    def content(self, stored: Mapping[str, StoredArray]) -> tuple[list[Tensor], NDArray[Any] | None]:
        """The inputs and labels of an open file; other arrays are not read."""
        size = _batch_size(self.specs)
        return [self._fitted(spec, stored, size) for spec in self.specs], self.labels(stored)

    def batches(self, tensors: list[Tensor], labels: NDArray[Any] | None, limit: int | None) -> Iterator[Batch]:
        """The rows, about ``limit`` of them."""
        size = _batch_size(self.specs)
        shared = [bool(spec.shape) and spec.shape[0] == size and not spec.is_state for spec in self.specs]
        sized = [(spec.name, len(tensor)) for spec, tensor, cut in zip(self.specs, tensors, shared, strict=True) if cut]
        first, rows = sized[0] if sized else ("", 1)
        for name, given in sized:
            if given != rows:
                raise InputError(
                    f"{self.file}: {named('input', name)}: expected {rows} rows as in {first}, given {given}"
                )
        if rows == 0:
            raise InputError(f"{self.file}: {named('input', first)}: expected at least one row (axis 0), given none")
        if labels is not None and sized and (labels.ndim == 0 or len(labels) != rows):
            raise InputError(f"{self.file}: {LABELS}: expected {rows} rows, given {labels.shape} {labels.dtype}")
        for start, stop in self._pieces(size, rows, limit):
            piece = tuple(tensor[start:stop] if cut else tensor for tensor, cut in zip(tensors, shared, strict=True))
            self._check_sizes(piece)
            ours = labels[start:stop] if labels is not None and sized else labels
            yield Batch(
                f"{self.file}[{start}:{stop}]",
                piece,
                ours,
                rows=stop - start,
                name=self.file.stem,
                first_row=start,
                file_rows=rows,
                done=stop / rows,
                empty=self._empty(piece),
            )

    def whole(self, stored: Mapping[str, StoredArray]) -> Batch:
        """The file's rows at once."""
        tensors = tuple(self._fitted(spec, stored, None) for spec in self.specs)
        self._check_sizes(tensors)
        return Batch(self.file.stem, tensors, name=self.file.stem, empty=self._empty(tensors))

    def _empty(self, tensors: Sequence[Tensor]) -> str:
        for spec, tensor in zip(self.specs, tensors, strict=True):
            if 0 in tensor.shape:
                axis = tuple(tensor.shape).index(0)
                return f"{named('input', spec.name)} of shape {tuple(tensor.shape)} has size 0 on axis {axis}"
        return ""

    def _fitted(self, spec: TensorSpec, stored: Mapping[str, StoredArray], batch: Size | None) -> Tensor:
        """One input's array as a tensor of its dtype; read once its rank and fixed sizes were checked."""
        if spec.is_state and spec.name not in stored:
            return self.model.initial_state[spec.name]
        if spec.name not in stored:
            given = given_instead(spec.name, stored)
            raise InputError(f"{self.file}: expected an array for {named('input', spec.name)}, given {given}")
        array = stored[spec.name]
        misfit = self._misfit(spec, f"{array.shape} {array.dtype}")
        wanted = np.dtype(np.float32 if spec.dtype.is_floating_point else dtype_name(spec.dtype))
        sizes = _uncut(spec, array.shape) if spec.shape and spec.shape[0] == batch else spec.shape
        if not fits(sizes, array.shape) or not takes(wanted, array.dtype):
            raise misfit
        values = array.read()
        if not holds(wanted, values):
            raise misfit
        native = values.dtype.newbyteorder("=") if wanted.kind == "f" else wanted
        try:
            return torch.from_numpy(values.astype(native, order="C")).to(spec.dtype)
        except TypeError:
            raise misfit from None

    def _misfit(self, spec: TensorSpec, given: str) -> InputError:
        sizes = ", ".join(self.model.size_name(spec, axis) for axis in range(len(spec.shape)))
        wanted = f"({sizes}) {dtype_name(spec.dtype)}"
        return InputError(f"{self.file}: {named('input', spec.name)}: expected {wanted}, given {given}")

    def labels(self, stored: Mapping[str, StoredArray]) -> NDArray[Any] | None:
        """The labels of an open file, None where it has none."""
        if LABELS not in stored:
            return None
        labels = stored[LABELS]
        if labels.dtype.kind not in "biu":
            raise InputError(f"{self.file}: {LABELS}: expected integers, given {labels.shape} {labels.dtype}")
        return labels.read()

    def _pieces(self, size: Size | None, rows: int, limit: int | None) -> Iterator[tuple[int, int]]:
        """Where to cut: a static batch at its size, a dynamic one at BATCH rows or what its range allows."""
        if isinstance(size, int):
            for start in range(0, rows if limit is None else min(rows, max(limit, 1)), size):
                yield start, start + size
            return
        dim = next((dim for dim in self.model.dims if dim.symbol == size), None)
        uses = [str(other) for spec in self.specs for axis, other in enumerate(spec.shape) if axis or other != size]
        if dim is None or any(dim.symbol in re.findall(r"\w+", use) for use in uses):
            yield 0, rows
            return
        step = min(BATCH, dim.upper or BATCH)
        stop = rows if limit is None else max(min(rows, limit), dim.lower)
        count = -(-stop // step)
        if 0 < stop % step < dim.lower:
            step = -(-stop // count)
        for start in range(0, stop, step):
            yield start, min(start + step, stop)

    def _check_sizes(self, tensors: Sequence[Tensor]) -> None:
        """Refuses dynamic sizes outside their range, of one name and two sizes, or that do not fit a formula."""
        limits = {dim.symbol: dim for dim in self.model.dims}
        sizes: dict[str, int] = {}
        for spec, tensor in zip(self.specs, tensors, strict=True):
            for axis, (size, given) in enumerate(zip(spec.shape, tensor.shape, strict=True)):
                limit = limits.get(str(size))
                if limit is None:
                    continue
                missed = limits_missed(given, limit.lower, limit.upper)
                if missed is not None:
                    name = self.model.size_name(spec, axis)
                    raise InputError(
                        f"{self.file}: {named('input', spec.name)}: expected {missed} for {name} (axis {axis}), "
                        f"given {given}"
                    )
                sizes.setdefault(limit.symbol, given)
        if sizes.keys() != limits.keys():
            return
        for spec, tensor, shape in zip(self.specs, tensors, self.model.shapes_at(sizes), strict=True):
            if tuple(tensor.shape) != shape:
                raise InputError(
                    f"{self.file}: {named('input', spec.name)}: expected {shape} for the sizes of the other inputs, "
                    f"given {tuple(tensor.shape)}"
                )
