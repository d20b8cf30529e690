"""A file's layers, what they can be tried in, and figures of every choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from attnexport.calibration.applying import check_opset
from attnexport.calibration.layers import Layer
from attnexport.calibration.tuning.candidates import FLOATING, Candidate, LayerGroup, by_name, candidate
from attnexport.calibration.tuning.known import Choice, Known
from attnexport.calibration.tuning.measuring import Measured
from attnexport.calibration.tuning.options import CANDIDATE_NAMES, HALF
from attnexport.calibration.tuning.timing import EngineTimer, Stopwatch, Timer, untimed
from attnexport.display.progress import Progress
from attnexport.errors import AttnexportError, BackendError, InputError, first_line
from attnexport.messages import count
from attnexport.plugins.building.architectures import gpus_of_this_machine

Alone = Mapping[str, Mapping[str, Measured]]
"""By candidate and layer, the file in which it is the only layer that is not floating."""


@dataclass(frozen=True)
class Tried:
    """Candidates that can be used.

    Attributes:
        candidates: in the order in which they were asked for.
        notes: why others were left out, a sentence each.
    """

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]

    @property
    def round_activations(self) -> bool:
        """Whether ranges are needed."""
        return any(one.rounds_activations for one in self.candidates)


def fitting(path: Path, model: ir.Model, layers: Sequence[Layer], asked: Sequence[str] | None) -> Tried:
    """The candidates that the file's opset and types allow.

    Args:
        path: of the file, for messages.
        model: the file.
        layers: of the file.
        asked: names of CANDIDATE_NAMES; None for all that can be used.

    Raises:
        InputError: one that was asked for cannot be used, or none can.
    """
    kept, notes = [], []
    for tried in map(candidate, asked or CANDIDATE_NAMES):
        try:
            if tried.scheme is not None:
                check_opset(path, model, tried.scheme, layers)
            if not any(tried.fits(of_name) for of_name in by_name(layers).values()):
                raise InputError(f"{path}: {tried.name} fits none of {count(len(layers), 'layer')}")
        except InputError as error:
            if asked is not None:
                raise
            notes.append(_left_out(tried, error))
        else:
            kept.append(tried)
    if not kept:
        raise InputError(f"{path}: expected a file that some candidate fits: {'; '.join(notes)}")
    return Tried(tuple(kept), tuple(notes))


@dataclass(frozen=True)
class Bench:
    """Choices of a file's layers, and their figures.

    Attributes:
        groups: the layers.
        known: measures files.
    """

    groups: tuple[LayerGroup, ...]
    known: Known

    def alone(self, tried: Candidate, position: int) -> Choice:
        """One layer in it, the others floating."""
        floating = candidate(FLOATING)
        return tuple(tried if at == position else floating for at in range(len(self.groups)))

    def everywhere(self, tried: Candidate) -> Choice:
        """All layers in it, where it fits them."""
        return tuple(tried if tried.fits(group.layers) else candidate(FLOATING) for group in self.groups)

    def plain(self, choice: Choice) -> tuple[Choice, ...]:
        """The files that one must be faster than: the floating one, and the one in half where that is another."""
        others = (self.everywhere(candidate(FLOATING)), self.everywhere(candidate(HALF)))
        return tuple(other for other in dict.fromkeys(others) if other != choice)

    def fast_enough(self, tried: Tried, watch: Stopwatch) -> Tried:
        """The candidates that are faster than these, each with all layers in it."""
        kept, notes = [], list(tried.notes)
        for one in tried.candidates:
            choice = self.everywhere(one)
            reason = watch.too_slow(choice, self.plain(choice))
            if reason:
                notes.append(f"{one.name} rejected: {reason}")
            else:
                kept.append(one)
        return Tried(tuple(kept), tuple(notes))

    def weight_bytes(self, choice: Choice) -> int:
        """What the layers' weights take in the file."""
        return sum(chosen.weight_bytes(group) for chosen, group in zip(choice, self.groups, strict=True))

    def sensitivity(self, tried: Tried, rows: int | None, progress: Progress, *, strict: bool) -> tuple[Tried, Alone]:
        """Each candidate on each layer alone, and the candidates that can be run here.

        Args:
            tried: the candidates.
            rows: of the data to run, about; None for all.
            progress: told the share that is done.
            strict: whether one that cannot be run is an error, as it was asked for.

        Raises:
            BackendError: with ``strict``, a candidate that ONNX Runtime cannot run.
        """
        alone: dict[str, dict[str, Measured]] = {}
        notes = list(tried.notes)
        total, done = len(tried.candidates) * len(self.groups), 0
        for one in tried.candidates:
            figures: dict[str, Measured] = {}
            for position, group in enumerate(self.groups):
                progress(f"measuring {group.name} alone in {one.name}", done / total)
                done += 1
                if not one.fits(group.layers):
                    continue
                try:
                    figures[group.name] = self.known.measured(self.alone(one, position), rows)
                except BackendError as error:
                    if strict or figures:
                        raise
                    notes.append(_left_out(one, error))
                    break
            if figures:
                alone[one.name] = figures
        return Tried(tuple(one for one in tried.candidates if one.name in alone), tuple(notes)), alone


def stopwatch(bench: Bench, timer: Timer | None, folder: Path, *, strict: bool) -> tuple[Stopwatch | None, str]:
    """What times files, or why nothing does.

    Args:
        bench: of the files.
        timer: None where nobody asked for times.
        folder: for a file at a time.
        strict: whether a timer that fails on the floating file is an error.
    """
    if timer is None or (isinstance(timer, EngineTimer) and not gpus_of_this_machine()):
        return None, untimed()
    watch = Stopwatch(bench.known.writer, timer, folder)
    try:
        watch.milliseconds(bench.everywhere(candidate(FLOATING)))
    except AttnexportError as error:
        if strict:
            raise
        return None, f"not timed: no engine can run here: {first_line(error)}"
    return watch, ""


def _left_out(tried: Candidate, error: Exception) -> str:
    return f"{tried.name} left out: {first_line(error)}"
