"""Runs an ONNX file over data and collects the ranges of what its layers multiply."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.accuracy.inputs.data_notes import DataNotes
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.batches import batches, finite_values
from attnexport.calibration.collectors import Collector, collector_for
from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import layers_of
from attnexport.calibration.options import refuse_unfit_calibration
from attnexport.calibration.ranges import Ranges
from attnexport.calibration.unfinished import Calibration, Place, Unfinished
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.files.staging import work_folder
from attnexport.graph.inspection import model_sha256
from attnexport.graph.writing import write_model
from attnexport.messages import count, option

BATCH = 16
"""Samples that run at once where the batch is dynamic."""


def calibrate(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    method: str = "minmax",
    samples: int | None = None,
    unfinished: str | os.PathLike[str] | None = None,
    progress: Progress = unheard,
) -> Ranges:
    """Runs an ONNX file on the CPU and collects the ranges of what its layers multiply.

    Memory does not grow with the number of samples where the batch is dynamic, nor does it with their files.

    Args:
        path: the ONNX file, not quantized.
        data: an .npz or a folder of them, with an array for each input.
        method: one of options.METHODS. Default: minmax.
        samples: how many rows to run; a static batch is never cut. Default: None, all.
        unfinished: a file in which a run that is stopped or fails leaves what it collected, and from which the next
            with the same model, method and samples goes on; data files that it had not come to may be others. It is
            gone in the end. Default: None, nothing is left.
        progress: told the share that is done. Default: nobody.

    Raises:
        InputError: data that does not fit, values that are not finite, or no sample.
        BackendError: the file does not run.
    """
    found = observe(path, data, method=method, samples=samples, unfinished=unfinished, progress=progress)
    if unfinished is not None:
        Path(unfinished).unlink(missing_ok=True)
    return found


def observe(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    method: str,
    samples: int | None,
    unfinished: str | os.PathLike[str] | None,
    progress: Progress,
) -> Ranges:
    """As :func:`calibrate`, but ``unfinished`` is left with all that was collected, until the ranges are kept.

    Raises:
        InputError: data that does not fit, values that are not finite, or no sample.
        BackendError: the file does not run.
    """
    path = Path(path)
    refuse_unfit_calibration(path, data=data, method=method, samples=samples)
    files = data_files(data)
    digests = tuple(sha256(file) for file in files)
    model = model_sha256(path)
    kept = Unfinished(
        None if unfinished is None else Path(unfinished), Calibration(model, method, BATCH, samples), digests
    )
    collector, place, notes = _begun(kept, method)
    of_data = DataNotes()
    with work_folder() as folder:
        copy, names = tapped(path, folder)
        backend = OnnxRuntimeBackend(copy)
        place = _collect(backend, names, files, samples, collector, kept, place, of_data, progress)
    if not place.all_samples:
        raise InputError(f"{option('--data')} {data}: expected at least one sample, given none")
    with contextlib.suppress(InputError):
        kept.save(collector, place)
    return Ranges(model, digests, method, place.all_samples, collector.ranges(), (*notes, *of_data.sentences()))


def _begun(kept: Unfinished, method: str) -> tuple[Collector, Place, tuple[str, ...]]:
    """A collector, how far it is, and what should be told of that."""
    collector = collector_for(method)
    place = kept.take_up(collector)
    if place is not None:
        said = f"went on behind {count(place.all_samples, 'sample')} of a calibration that was stopped"
        return collector, place, (said,)
    return collector_for(method), Place(), ()


def _collect(
    backend: OnnxRuntimeBackend,
    names: Sequence[str],
    files: Sequence[Path],
    samples: int | None,
    collector: Collector,
    kept: Unfinished,
    begin: Place,
    notes: DataNotes,
    progress: Progress,
) -> Place:
    """Runs what lies behind a place; the place at the end. What was collected is kept where it stops before."""
    place, whole, skip = begin, True, begin.batches
    left = None if samples is None else samples - begin.samples
    try:
        for batch in batches(backend.inputs, files[begin.files :], size=BATCH, limit=left, notes=notes):
            if batch.file == 0 and skip:
                skip -= 1
                continue
            outputs = backend.run(batch.arrays)
            seen = {name: finite_values(name, {**batch.arrays, **outputs}[name], batch.source) for name in names}
            whole = False
            collector.add(seen)
            place = place.behind(begin.files + batch.file, batch.rows)
            whole = True
            kept.save_now_and_then(collector, place)
            progress("calibrating", (begin.files + batch.done * (len(files) - begin.files)) / len(files))
    except BaseException:
        # A signal may have come while the collector was between two tensors.
        if whole:
            with contextlib.suppress(InputError):
                kept.save(collector, place)
        raise
    return place


def tapped(path: Path, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A copy of the file whose outputs are what its layers multiply too, and the names of these tensors."""
    model = floating_model(path)
    activations = {layer.activation.name or "": layer.activation for layer in layers_of(model)}
    outputs = {value.name for value in (*model.graph.outputs, *model.graph.inputs)}
    model.graph.outputs.extend(value for name, value in activations.items() if name not in outputs)
    copy = folder / path.name
    write_model(model, copy)
    return copy, tuple(activations)
