"""Runs and times a model file on a user's arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.backends import Arrays, Backend, fed
from attnexport.display.progress import Progress, unheard
from attnexport.engines.inputs import fit_inputs
from attnexport.engines.manifest_json import read_manifest
from attnexport.engines.names import ENGINE_SUFFIXES
from attnexport.engines.opening import open_backend
from attnexport.engines.run_options import refuse_unfit_options
from attnexport.errors import shortlist
from attnexport.files.kinds import ARRAYS, check_kind
from attnexport.files.npz import open_arrays, write_arrays
from attnexport.graph.file_precision import precision_name
from attnexport.graph.inspection import read_model
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.state import read_state
from attnexport.messages import count, named

_FIRST_PIECE, _PIECE_S = 10, 2.0
"""Runs that are timed first, and seconds that further ones are timed at once."""

LABELS = "labels"
"""Data files hold an array of this name beside the inputs; that no input takes it needs no note."""


@dataclass(frozen=True)
class Timing:
    """Times of a number of runs.

    Attributes:
        repeats: how many.
        minimum, median, p99: milliseconds of a run.
        rows_per_second: size of the first input's first axis, 1 where it has none, over the median.
    """

    repeats: int
    minimum: float
    median: float
    p99: float
    rows_per_second: float


@dataclass(frozen=True)
class RunReport:
    """What was run.

    Attributes:
        ran_by: product, version and device.
        attention: what ran the attention nodes, as "4 nodes through plugins".
        precision: what the file computes in.
        inputs, outputs: shapes by name.
        memory: bytes, by what holds them.
        timing: None where none was asked for.
        notes: what a user should know, one sentence each.
    """

    ran_by: str
    attention: str
    precision: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    memory: Mapping[str, int]
    timing: Timing | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A run of a model file.

    Attributes:
        outputs: arrays by name.
        report: what was run, and how long it took.
    """

    outputs: Arrays
    report: RunReport

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the outputs into an .npz.

        Raises:
            InputError: the file cannot be written, or its name is that of another kind of file.
        """
        check_kind(path, ARRAYS)
        write_arrays(Path(path), self.outputs)


def run(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    plugins: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    repeats: int = 0,
    progress: Progress = unheard,
) -> Run:
    """Runs a model file once on the arrays of an .npz file, and times it.

    An engine runs on the GPU that it was built for, with the TensorRT that built it, as its manifest says. Opening an
    engine or a plugin library runs their code: give none that you did not build.

    Args:
        path: an engine or an ONNX file.
        data: an .npz with an array for each input.
        plugins: an engine's plugin library. Default: None.
        device: where ONNX Runtime runs, cpu or cuda. Default: cpu.
        repeats: how many more runs to time. Default: 0, none.
        progress: is told of each step, and the share of it that is done or None. Default: nobody is.

    Raises:
        InputError: arrays that do not fit, or a file that cannot be read.
        BackendError: the file cannot be run here.
    """
    path, data = Path(path), Path(data)
    plugins = None if plugins is None else Path(plugins)
    refuse_unfit_options(path, data, plugins)
    initial = _initial_state(path)
    progress(f"opening {path.name}", None)
    with open_arrays(data) as stored:
        backend = open_backend(path, plugins=plugins, device=device)
        taken = [info for info in backend.inputs if info.name in stored or info.name not in initial]
        inputs = fit_inputs(taken, stored, data)
        unused = sorted(set(stored) - set(inputs) - {LABELS})
        read_as = [(name, stored[name].dtype, array.dtype) for name, array in inputs.items()]
    started = [info for info in backend.inputs if info not in taken]
    inputs |= {info.name: fed(initial[info.name], info) for info in started}
    progress(f"running {path.name}", None)
    outputs = backend.run(inputs)
    timing = _timing(backend, inputs, repeats, progress) if repeats else None
    attention, precision = _what_ran(path)
    report = RunReport(
        ran_by=backend.description,
        attention=attention,
        precision=precision,
        inputs={name: array.shape for name, array in inputs.items()},
        outputs={name: array.shape for name, array in outputs.items()},
        memory=backend.memory(),
        timing=timing,
        notes=(
            *([f"{data}: no input takes {shortlist(unused)}"] if unused else ()),
            *(
                f"{data}: {named('input', name)} is read as {wanted.name}, given {given.name}"
                for name, given, wanted in read_as
                if given.kind != "V" and given.name != wanted.name
            ),
            *(
                f"{named('input', info.name)} starts from what the file holds: {data} has no such array"
                for info in started
            ),
        ),
    )
    return Run(outputs, report)


def _initial_state(path: Path) -> dict[str, NDArray[Any]]:
    """What an ONNX file says that its state inputs start from."""
    if path.suffix in ENGINE_SUFFIXES:
        return {}
    return {state.input: state.initial for state in read_state(read_model(path)) if state.initial is not None}


def _timing(backend: Backend, inputs: Arrays, repeats: int, progress: Progress) -> Timing:
    milliseconds = 1000 * _seconds(backend, inputs, repeats, progress)
    median = float(np.median(milliseconds))
    first = next(iter(inputs.values()), None)
    rows = first.shape[0] if first is not None and first.ndim else 1
    return Timing(
        repeats=repeats,
        minimum=float(milliseconds.min()),
        median=median,
        p99=float(np.percentile(milliseconds, 99)),
        rows_per_second=1000 * rows / median,
    )


def _seconds(backend: Backend, inputs: Arrays, repeats: int, progress: Progress) -> NDArray[np.float64]:
    """Seconds of each run, timed in pieces, between which progress is told."""
    pieces: list[NDArray[np.float64]] = []
    done, size = 0, _FIRST_PIECE
    while done < repeats:
        progress(f"timing {count(repeats, 'run')}", done / repeats)
        pieces.append(backend.time(inputs, min(size, repeats - done)))
        done += pieces[-1].size
        size = max(1, int(_PIECE_S / max(float(np.median(pieces[-1])), 1e-9)))
    return np.concatenate(pieces)


def _what_ran(path: Path) -> tuple[str, str]:
    """What ran the attention nodes, and the precision."""
    if path.suffix in ENGINE_SUFFIXES:
        manifest = read_manifest(path)
        counted = {"plugins": len(manifest.plugin_nodes), "bodies": len(manifest.body_nodes)}
        return _nodes_through(counted), manifest.precision
    model = read_model(path)
    return _nodes_through({"bodies": len(variant_nodes(model.graph))}), precision_name(model)


def _nodes_through(counted: Mapping[str, int]) -> str:
    parts = [f"{count(nodes, 'node')} through {what}" for what, nodes in counted.items() if nodes]
    return " and ".join(parts) or "no attention nodes"
