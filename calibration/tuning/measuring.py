"""Measures an ONNX file against the outputs that the floating one gives for the same data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.errors.metrics import MetricMeans, MetricSpec
from attnexport.accuracy.errors.scores import Metric
from attnexport.accuracy.errors.sums import ErrorSums
from attnexport.accuracy.inputs.files import LABELS, Batch
from attnexport.backends import Arrays
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.batches import Samples, batch_is_dynamic, batches, finite_values
from attnexport.calibration.observing import tapped
from attnexport.display.progress import Progress
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.graph.inspection import model_sha256
from attnexport.messages import option

BATCH = 64
"""Rows that run at once where the batch is dynamic."""


@dataclass(frozen=True)
class Measured:
    """A file beside the floating one.

    Attributes:
        error: relative L2 of its floating outputs, of the worst of them; infinite where values are not finite.
        metrics: the floating file's, as reference, beside its own.
    """

    error: float
    metrics: tuple[Metric, ...]

    @property
    def drop(self) -> float | None:
        """How much worse the metrics are, the largest of their drops; None without metrics."""
        return max((metric.drop for metric in self.metrics), default=None)


@dataclass(frozen=True)
class Bounds:
    """What a file must hold.

    Attributes:
        max_drop: how much worse each metric may be; None where there is none.
        max_error: relative L2 of the outputs that is allowed; None where any is.
    """

    max_drop: float | None
    max_error: float | None

    def hold(self, measured: Measured) -> bool:
        """Whether they do; figures that are not finite hold nothing."""
        within = self.max_error is None or measured.error <= self.max_error
        return within and math.isfinite(measured.error) and all(metric.passed for metric in measured.metrics)


class Yardstick:
    """The floating file's outputs on data, kept in a folder.

    Args:
        path: the floating file.
        files: data files with an array for each input, and labels where metrics want them.
        metrics: to be measured.
        max_drop: how much worse each may be.
        folder: for the outputs; it must last as long as this.
        progress: told the share that is done.

    Attributes:
        floating: the floating file beside itself.
        path: of the floating file.
        metrics: that are measured.
        values: how many values the mean of each metric is of.
        first: the inputs of the first run.
        row: the first row of these, or all of them where the file runs whole data files.
        model_sha256, data_sha256: hashes of the file and of the data files.

    Raises:
        InputError: data that does not fit, values that are not finite, labels that are missing or do not fit, or a file
            without a floating output.
        BackendError: the file does not run.
    """

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        metrics: Sequence[MetricSpec],
        max_drop: float | None,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._files, self._max_drop, self._folder = tuple(files), max_drop, folder
        self.path, self.metrics = path, tuple(metrics)
        self.model_sha256, self.data_sha256 = model_sha256(path), tuple(sha256(file) for file in files)
        self.first: Arrays = {}
        backend = OnnxRuntimeBackend(path)
        means = self._means()
        self._rows: list[int] = []
        for number, batch in enumerate(self._batches(backend)):
            for name, array in batch.arrays.items():
                _check_finite(name, array, batch)
            outputs = backend.run(batch.arrays)
            if not any(array.dtype.kind == "f" for array in outputs.values()):
                raise InputError(f"{path}: expected an output of a floating type, given none")
            for position, (name, array) in enumerate(outputs.items()):
                _check_finite(name, array, batch)
                np.save(self._kept(number, position), array)
            for mean in means:
                mean.add(_labelled(batch), outputs, outputs)
            self.first = self.first or batch.arrays
            self._rows.append(batch.rows)
            progress("running the floating file", batch.done)
        if not self._rows:
            raise InputError(f"{option('--data')}: expected at least one row, given none")
        cut = batch_is_dynamic(backend.inputs)
        self.row: Arrays = {name: array[:1] if cut else array for name, array in self.first.items()}
        self.floating = Measured(0.0, tuple(mean.result() for mean in means))
        self.values = tuple(mean.values for mean in means)

    def measure(self, path: Path, rows: int | None = None) -> Measured:
        """A file's error and metrics.

        Args:
            path: a file with the inputs and outputs of the floating one.
            rows: about how many rows to run, in whole batches. Default: None, all.

        Raises:
            BackendError: the file does not run.
        """
        backend = OnnxRuntimeBackend(path)
        means, sums, left = self._means(), dict[str, ErrorSums](), self.rows(rows)
        for number, batch in enumerate(self._batches(backend)):
            given = backend.run(batch.arrays)
            exact = {name: np.load(self._kept(number, position)) for position, name in enumerate(given)}
            for name, array in exact.items():
                if array.dtype.kind == "f":
                    sums.setdefault(name, ErrorSums()).add(given[name], array)
            for mean in means:
                mean.add(_labelled(batch), exact, given)
            left -= batch.rows
            if left <= 0:
                break
        error = max(math.inf if each.not_finite else each.relative_l2 for each in sums.values())
        return Measured(error, tuple(mean.result() for mean in means))

    def rows(self, wanted: int | None = None) -> int:
        """How many rows run where about so many are wanted, or all."""
        return next((rows for rows in accumulate(self._rows) if wanted is not None and rows >= wanted), sum(self._rows))

    def elements(self) -> dict[str, float]:
        """How many numbers a row has in each tensor that layers multiply, by its name, in the first run."""
        copy, names = tapped(self.path, self._folder)
        tensors = {**self.first, **OnnxRuntimeBackend(copy).run(self.first)}
        return {name: tensors[name].size / self._rows[0] for name in names}

    def _means(self) -> list[MetricMeans]:
        return [MetricMeans(spec, self._max_drop) for spec in self.metrics]

    def _batches(self, backend: OnnxRuntimeBackend) -> Iterator[Samples]:
        return batches(backend.inputs, self._files, size=BATCH, limit=None, beside=(LABELS,))

    def _kept(self, batch: int, position: int) -> Path:
        return self._folder / f"{batch}_{position}.npy"


def _labelled(batch: Samples) -> Batch:
    labels = batch.beside.get(LABELS)
    if labels is not None and labels.dtype.kind not in "biu":
        raise InputError(f"{batch.source}: {LABELS}: expected integers, given {labels.shape} {labels.dtype}")
    return Batch(batch.source, (), labels, rows=batch.rows)


def _check_finite(name: str, array: NDArray[Any], batch: Samples) -> None:
    if array.dtype.kind == "f":
        finite_values(name, array, batch.source)
