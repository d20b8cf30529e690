"""Runs an ONNX file over data and collects the ranges of what its layers multiply."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.batches import batches, finite_values
from attnexport.calibration.collectors import collector_for
from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import layers_of
from attnexport.calibration.options import refuse_unfit_calibration
from attnexport.calibration.ranges import Ranges
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.files.staging import work_folder
from attnexport.graph.writing import write_model
from attnexport.messages import option

BATCH = 16
"""Samples that run at once where the batch is dynamic."""


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
        copy, names = tapped(path, folder)
        backend = OnnxRuntimeBackend(copy)
        for batch in batches(backend.inputs, files, size=BATCH, limit=samples):
            outputs = backend.run(batch.arrays)
            seen = {name: finite_values(name, {**batch.arrays, **outputs}[name], batch.source) for name in names}
            collector.add(seen)
            counted += batch.rows
            progress("calibrating", batch.done)
    if not counted:
        raise InputError(f"{option('--data')} {data}: expected at least one sample, given none")
    digests = tuple(sha256(file) for file in files)
    return Ranges(sha256(path), digests, method, counted, collector.ranges())


def tapped(path: Path, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A copy of the file whose outputs are what its layers multiply too, and the names of these tensors."""
    model = floating_model(path)
    activations = {layer.activation.name or "": layer.activation for layer in layers_of(model)}
    outputs = {value.name for value in (*model.graph.outputs, *model.graph.inputs)}
    model.graph.outputs.extend(value for name, value in activations.items() if name not in outputs)
    copy = folder / path.name
    write_model(model, copy)
    return copy, tuple(activations)
