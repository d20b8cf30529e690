"""What tune found, as plain data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attnexport.calibration.ranges import Ranges
from attnexport.calibration.tuning.candidates import FLOATING, title_of
from attnexport.calibration.tuning.measuring import Bounds, Measured
from attnexport.calibration.tuning.options import HALF


@dataclass(frozen=True)
class TunedLayer:
    """A layer, or several of one name.

    Attributes:
        name: of the module that it is from.
        parameters: how many numbers its weight holds.
        alone: by candidate, the file in which it is the only layer that is not floating.
        candidate: what it is computed in; empty where no file was written.
    """

    name: str
    parameters: int
    alone: Mapping[str, Measured]
    candidate: str

    @property
    def largest_drop(self) -> float | None:
        """Of all candidates on this layer alone; None without metrics."""
        drops = [measured.drop for measured in self.alone.values() if measured.drop is not None]
        return max(drops, default=None)


@dataclass(frozen=True)
class MeasuredPlan:
    """A file that was measured.

    Attributes:
        candidates: what each layer is computed in, in the file's order.
        weight_bytes: what the layers' weights take in it, scales with them.
        measured: on all of the data.
        holds: whether it is within the bounds.
        on_front: whether no other file that was measured is as small and errs as little.
        milliseconds: of a run as an engine; None where it was not timed.
        rejected: why it was not chosen though it holds; empty for others.
    """

    candidates: tuple[str, ...]
    weight_bytes: int
    measured: Measured
    holds: bool
    on_front: bool = False
    milliseconds: float | None = None
    rejected: str = ""

    @property
    def title(self) -> str:
        """``all int8``, ``mixed`` or ``floating``."""
        return title_of(self.candidates)


@dataclass(frozen=True)
class Tuning:
    """What tune found.

    Attributes:
        model, model_sha256: the floating file.
        data_sha256: of the files that were measured on.
        rows, rows_alone: how many rows of data files ran on, and how many where one layer was not floating.
        values: how many values the mean of each metric is of, by name.
        bounds: what was to be held.
        candidates: what layers were tried in.
        cost: what was cheap: time, traffic or size.
        ranges: what the scales of activations are from; None where no candidate rounds them.
        layers: in the file's order.
        plans: the files that were measured on all rows, cheapest first.
        chosen: the one that was written; None where none holds.
        path, sha256: the file that was written, and its hash; None and empty where none was.
        timing: what was timed, or why nothing was, in words.
        runs, known: how many files ran, and how many figures were known from an earlier time.
        notes: what a user should know, one sentence each.
    """

    model: str
    model_sha256: str
    data_sha256: tuple[str, ...]
    rows: int
    rows_alone: int
    values: Mapping[str, int]
    bounds: Bounds
    candidates: tuple[str, ...]
    cost: str
    ranges: Ranges | None
    layers: tuple[TunedLayer, ...]
    plans: tuple[MeasuredPlan, ...]
    chosen: MeasuredPlan | None
    path: Path | None
    sha256: str
    timing: str
    runs: int
    known: int
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether a file holds the bounds, and was written."""
        return self.chosen is not None

    @property
    def quantized(self) -> float:
        """Share of the weights of all layers that the written file rounds to a grid; 0 where none was written."""
        grids = [layer.parameters for layer in self.layers if layer.candidate not in ("", FLOATING, HALF)]
        return sum(grids) / sum(layer.parameters for layer in self.layers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as a page or as JSON, as the name ends in .html or .json, whole or not at all.

        Raises:
            InputError: another ending, or a file that cannot be written.
        """
        from attnexport.calibration.tuning.saving import save_tuning

        save_tuning(self, path)
