"""What was measured of plans: once, however often it is asked for, and in a folder for the next run."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.accuracy.errors.metrics import MetricSpec
from attnexport.calibration.applying import apply
from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import all_layers
from attnexport.calibration.plans import Plan
from attnexport.calibration.ranges import Ranges
from attnexport.calibration.tuning.candidates import FLOATING, Candidate
from attnexport.calibration.tuning.code import code_sha256
from attnexport.calibration.tuning.measuring import Measured, Yardstick
from attnexport.files.outputs import sha256
from attnexport.graph.half_layers import round_half_layers
from attnexport.graph.writing import write_model

Choice = tuple[Candidate, ...]
"""What each layer is computed in, in the file's order."""


def names_of(choice: Choice) -> tuple[str, ...]:
    """The candidates' names."""
    return tuple(chosen.name for chosen in choice)


@dataclass(frozen=True)
class Writer:
    """Writes the floating file with other schemes in it.

    Attributes:
        path: the floating file.
        names: of its layers.
        ranges: of its activations; None where no candidate rounds them.
    """

    path: Path
    names: tuple[str, ...]
    ranges: Ranges | None

    def write(self, choice: Choice, output: Path) -> None:
        """Writes the file in which the layers are computed in this."""
        write_model(self.model(choice), output)

    def write_rounded(self, choice: Choice, output: Path) -> None:
        """Writes one that rounds as that does where there are no kernels of half, as in ONNX Runtime on the CPU."""
        model = self.model(choice)
        if any(chosen.floating is not None for chosen in choice):
            round_half_layers(model)
        write_model(model, output)

    def model(self, choice: Choice) -> ir.Model:
        """The model in which the layers are computed in this."""
        model = floating_model(self.path)
        given = dict(zip(self.names, choice, strict=True))
        schemes = {name: chosen.scheme for name, chosen in given.items() if chosen.scheme is not None}
        kept = {name: chosen.floating for name, chosen in given.items() if chosen.scheme is None}
        apply(self.path, model, all_layers(self.path, model), Plan(schemes, kept), self.ranges)
        return model


class Known:
    """Measures files, each once.

    Args:
        writer: of the files.
        yardstick: that they are held to.
        cache: where figures are kept between runs.
        folder: for a file at a time.

    Attributes:
        writer: of the files.
        runs: how many files ran.
    """

    def __init__(self, writer: Writer, yardstick: Yardstick, cache: OutputCache, folder: Path) -> None:
        self.writer, self._yardstick, self._cache, self._folder = writer, yardstick, cache, folder
        sources = (onnxruntime.__version__, code_sha256(), *(_identity(spec) for spec in yardstick.metrics))
        self._about = (yardstick.model_sha256, *yardstick.data_sha256, *sources)
        self._ranges = hashlib.sha256(repr(writer.ranges).encode()).hexdigest()
        self._found: dict[tuple[str, ...], Measured] = {}
        self.runs = 0

    def measured(self, choice: Choice, rows: int | None = None) -> Measured:
        """The file in which the layers are computed in this, on about so many rows of the data or on all.

        Raises:
            BackendError: it does not run.
        """
        if all(chosen.name == FLOATING for chosen in choice):
            return self._yardstick.floating
        rounds = any(chosen.rounds_activations for chosen in choice)
        key = (str(self._yardstick.rows(rows)), self._ranges if rounds else "", *names_of(choice))
        if key not in self._found:
            (figures,) = self._cache.outputs((*self._about, *key), lambda: [self._run(choice, rows)])
            self._found[key] = self._measured(figures)
        return self._found[key]

    def _run(self, choice: Choice, rows: int | None) -> NDArray[np.float64]:
        """The error, and each metric in the floating file and in this one."""
        file = self._folder / "candidate.onnx"
        self.writer.write_rounded(choice, file)
        measured = self._yardstick.measure(file, rows)
        self.runs += 1
        pairs = [figure for metric in measured.metrics for figure in (metric.reference, metric.contender)]
        return np.array([measured.error, *pairs])

    def _measured(self, figures: NDArray[np.float64]) -> Measured:
        error, *pairs = figures.tolist()
        metrics = [
            replace(metric, reference=reference, contender=contender)
            for metric, reference, contender in zip(
                self._yardstick.floating.metrics, pairs[::2], pairs[1::2], strict=True
            )
        ]
        return Measured(error, tuple(metrics))


def _identity(spec: MetricSpec) -> str:
    """A metric's name, and the hash of the file that it is defined in."""
    try:
        source = inspect.getsourcefile(spec.values)
    except TypeError:
        source = None
    return f"{spec.name} {'' if source is None else sha256(source)}"
