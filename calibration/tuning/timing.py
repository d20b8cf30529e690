"""How long files take as engines, where one can run here, and which candidates that rejects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.backends import Arrays
from attnexport.calibration.tuning.candidates import title_of
from attnexport.calibration.tuning.known import Choice, Writer, names_of
from attnexport.display.progress import Progress
from attnexport.engines.build_options import BuildOptions
from attnexport.engines.building import build_engine
from attnexport.engines.running import run
from attnexport.errors import AttnexportError, first_line
from attnexport.files.npz import write_arrays
from attnexport.messages import option
from attnexport.plugins.building.architectures import gpus_of_this_machine
from attnexport.plugins.runtime.request import EngineOptions, Profile

Timer = Callable[[Path], float]
"""Takes an ONNX file, and gives milliseconds of a run."""

_RUNS = 100


@dataclass(frozen=True)
class EngineTimer:
    """Builds an engine from a file and times it on this machine's GPU.

    Attributes:
        target: a name of attnexport.targets.TARGETS: this machine's.
        plugins: the plugin library; None for attention that runs through its bodies.
        arrays: what the engine is run on.
        folder: for an engine at a time.
        progress: told what is done.
    """

    target: str
    plugins: Path | None
    arrays: Arrays
    folder: Path
    progress: Progress

    def __call__(self, path: Path) -> float:
        """The median of the file's runs, in milliseconds.

        Raises:
            InputError: a file that the target cannot run.
            BackendError: no engine can be built or run here.
        """
        engine, data = self.folder / "candidate.engine", self.folder / "timed.npz"
        write_arrays(data, self.arrays)
        profiles = {name: Profile(array.shape, array.shape, array.shape) for name, array in self.arrays.items()}
        made = EngineOptions(profiles, plugins=self.plugins, timing_cache=self.folder / "timing.cache")
        build_engine(path, engine, BuildOptions(self.target, made), self.progress)
        timing = run(engine, data, plugins=self.plugins, repeats=_RUNS, progress=self.progress).report.timing
        assert timing is not None
        return timing.median


@dataclass
class Stopwatch:
    """Times files, each once, and holds them to the floating file and to the one in half.

    Attributes:
        writer: of the files.
        timer: gives milliseconds of a file.
        folder: for a file at a time.
        found: milliseconds by what each layer is computed in.
        failed: why files have no time, by the same.
        passed_over: why files that others were to be held to have none, by the same.
    """

    writer: Writer
    timer: Timer
    folder: Path
    found: dict[tuple[str, ...], float] = field(default_factory=dict)
    failed: dict[tuple[str, ...], AttnexportError] = field(default_factory=dict)
    passed_over: dict[tuple[str, ...], str] = field(default_factory=dict)

    def milliseconds(self, choice: Choice) -> float:
        """Of a run of the file in which the layers are computed in this.

        Raises:
            AttnexportError: the timer's, which is not asked for the file again.
        """
        key = names_of(choice)
        if key in self.failed:
            raise self.failed[key]
        if key not in self.found:
            file = self.folder / "timed.onnx"
            self.writer.write(choice, file)
            try:
                self.found[key] = float(self.timer(file))
            except AttnexportError as error:
                self.failed[key] = error
                raise
        return self.found[key]

    def too_slow(self, choice: Choice, others: Sequence[Choice]) -> str:
        """Why a file is not worth having: it is not faster than one of these, or no engine. Empty where it is.

        One of the others that has no time is passed over.
        """
        try:
            own = self.milliseconds(choice)
        except AttnexportError as error:
            return first_line(error)
        for other in others:
            try:
                theirs = self.milliseconds(other)
            except AttnexportError as error:
                self.passed_over[names_of(other)] = first_line(error)
                continue
            if own >= theirs:
                return f"{own:.3f} ms is not faster than {theirs:.3f} ms of {title_of(names_of(other))}"
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What no file was held to, a sentence each."""
        return tuple(
            f"no file was held to the time of {title_of(names)}: {reason}" for names, reason in self.passed_over.items()
        )

    def said(self) -> str:
        """Times of the files in which all layers are in one candidate."""
        alike = {title_of(names): ms for names, ms in self.found.items() if title_of(names) != "mixed"}
        return f"timed: {', '.join(f'{title} {ms:.3f} ms' for title, ms in alike.items())}"


def untimed() -> str:
    """Why nothing is timed where nobody asked for it."""
    if not gpus_of_this_machine():
        return "not timed: no engine can run here"
    return f"not timed: {option('--target')} names this machine's device, for engines to time"
