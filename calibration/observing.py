"""Runs an ONNX file over data and collects the ranges of what its layers multiply."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.backends import Arrays
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.collectors import collector_for
from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import layers_of
from attnexport.calibration.options import refuse_unfit_calibration
from attnexport.calibration.ranges import Ranges
from attnexport.display.progress import Progress, unheard
from attnexport.engines.inputs import fit_inputs
from attnexport.errors import InputError
from attnexport.files.npz import open_arrays
from attnexport.files.outputs import sha256
from attnexport.files.staging import work_folder
from attnexport.graph.writing import write_model
from attnexport.messages import option

BATCH = 16
"""Samples that run at once where the batch is dynamic."""


@dataclass(frozen=True)
class Samples:
    """Rows of data files for one run."""

    source: str
    arrays: Arrays
    rows: int
    done: float


def calibrate(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    method: str = "minmax",
    samples: int | None = None,
    progress: Progress = unheard,
) -> Ranges:
    """Runs an ONNX file on the CPU and collects the ranges of what its layers multiply.

    Memory does not grow with the number of samples beyond the data file that is read.

    Args:
        path: the ONNX file, not quantized.
        data: an .npz or a folder of them, with an array for each input.
        method: one of options.METHODS. Default: minmax.
        samples: how many rows to run; a static batch is never cut. Default: None, all.
        progress: told the share that is done. Default: nobody.

    Raises:
        InputError: data that does not fit, values that are not finite, or no sample.
        BackendError: the file does not run.
    """
    path = Path(path)
    refuse_unfit_calibration(path, data=data, method=method, samples=samples)
    files = data_files(data)
    collector = collector_for(method)
    counted = 0
    with work_folder() as folder:
        tapped, names = _tapped(path, folder)
        backend = OnnxRuntimeBackend(tapped)
        for batch in _batches(backend, files, samples):
            outputs = backend.run(batch.arrays)
            seen = {name: _finite(name, {**batch.arrays, **outputs}[name], batch.source) for name in names}
            collector.add(seen)
            counted += batch.rows
            progress("calibrating", batch.done)
    if not counted:
        raise InputError(f"{option('--data')} {data}: expected at least one sample, given none")
    digests = tuple(sha256(file) for file in files)
    return Ranges(sha256(path), digests, method, counted, collector.ranges())


def _tapped(path: Path, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A copy of the file whose outputs are what its layers multiply too, and the names of these tensors."""
    model = floating_model(path)
    activations = {layer.activation.name or "": layer.activation for layer in layers_of(model)}
    outputs = {value.name for value in (*model.graph.outputs, *model.graph.inputs)}
    model.graph.outputs.extend(value for name, value in activations.items() if name not in outputs)
    copy = folder / path.name
    write_model(model, copy)
    return copy, tuple(activations)


def _batches(backend: OnnxRuntimeBackend, data: Sequence[Path], samples: int | None) -> Iterator[Samples]:
    left = samples
    for position, file in enumerate(data):
        with open_arrays(file) as stored:
            fitted = fit_inputs(backend.inputs, stored, file)
        rows = next((len(array) for array in fitted.values() if array.ndim), 1)
        if not _batch_is_dynamic(backend):
            yield Samples(str(file), fitted, rows, (position + 1) / len(data))
        else:
            rows = rows if left is None else min(rows, left)
            for start in range(0, rows, BATCH):
                stop = min(start + BATCH, rows)
                arrays = {name: array[start:stop] for name, array in fitted.items()}
                done = (position + stop / rows) / len(data)
                yield Samples(f"{file}, rows {start} to {stop - 1}", arrays, stop - start, done)
        if left is not None:
            left -= rows
            if left <= 0:
                return


def _batch_is_dynamic(backend: OnnxRuntimeBackend) -> bool:
    """Whether all inputs have one named first axis."""
    firsts = {info.shape[0] if info.shape else None for info in backend.inputs}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str)


def _finite(name: str, values: NDArray[Any], source: str) -> NDArray[np.float32]:
    wide = np.asarray(values, np.float32)
    if not np.isfinite(wide).all():
        raise InputError(
            f"{source}: tensor {name}: expected finite values, given {int((~np.isfinite(wide)).sum())} others"
        )
    return wide
