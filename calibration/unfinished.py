"""What a calibration that was stopped has collected, in a file from which the next one goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from attnexport.calibration.collectors import Collector
from attnexport.errors import InputError
from attnexport.files.npz import read_arrays, write_arrays
from attnexport.files.typed_json import parsed, typed

SAVE_S = 5.0
"""Seconds between two times that what was collected is kept."""
_ABOUT = "about"


@dataclass(frozen=True)
class Place:
    """How far a calibration is.

    Attributes:
        files: how many data files are finished.
        samples: how many rows of them ran.
        batches: how many runs of the next file are finished.
        rows: how many rows of it ran.
    """

    files: int = 0
    samples: int = 0
    batches: int = 0
    rows: int = 0

    def behind(self, file: int, rows: int) -> Place:
        """The place behind another run of so many rows of a file."""
        if file == self.files:
            return Place(file, self.samples, self.batches + 1, self.rows + rows)
        return Place(file, self.samples + self.rows, 1, rows)

    @property
    def all_samples(self) -> int:
        """How many rows ran."""
        return self.samples + self.rows


@dataclass(frozen=True)
class Calibration:
    """What is calibrated; of another nothing can be taken up.

    Attributes:
        model_sha256: of the ONNX file.
        method: how ranges are chosen.
        batch: rows that run at once.
        samples: how many rows are to run; None for all.
    """

    model_sha256: str
    method: str
    batch: int
    samples: int | None


@dataclass(frozen=True)
class _About:
    """Of a file.

    Attributes:
        calibration: that it is of.
        place: how far it came.
        data_sha256: of the data files that it had read of, the last of which may not be finished.
        tensors: names, in the order of their arrays.
    """

    calibration: Calibration
    place: Place
    data_sha256: tuple[str, ...]
    tensors: tuple[str, ...]


class Unfinished:
    """Keeps what a collector has, every few seconds and when a calibration is stopped.

    Args:
        path: the file; None keeps nothing.
        calibration: that is run.
        data_sha256: of its data files, in order.
    """

    def __init__(self, path: Path | None, calibration: Calibration, data_sha256: Sequence[str]) -> None:
        self._path, self._calibration, self._data = path, calibration, data_sha256
        self._saved = time.monotonic()

    def take_up(self, collector: Collector) -> Place | None:
        """Hands the collector what the file has; None, and nothing, where there is none or it is of something else.

        Data files behind the last that was read may be others now.
        """
        if self._path is None or not self._path.is_file():
            return None
        try:
            arrays = read_arrays(self._path)
            about: _About = typed(_About, parsed(bytes(arrays.pop(_ABOUT).tolist()).decode()))
            read = about.data_sha256
            if about.calibration != self._calibration or read != tuple(self._data[: len(read)]):
                return None
            kept: dict[str, dict[str, np.ndarray]] = {tensor: {} for tensor in about.tensors}
            for name, array in arrays.items():
                position, _, word = name.partition(".")
                kept[about.tensors[int(position)]][word] = array
            collector.take_up(kept)
        except (InputError, ValueError, KeyError, IndexError, TypeError):
            return None
        return about.place

    def save_now_and_then(self, collector: Collector, place: Place) -> None:
        """Keeps what was collected up to a place, where that was not done lately."""
        if time.monotonic() - self._saved > SAVE_S:
            self.save(collector, place)

    def save(self, collector: Collector, place: Place) -> None:
        """Keeps what was collected up to a place.

        Raises:
            InputError: the file cannot be written.
        """
        if self._path is None or not place.all_samples:
            return
        kept = collector.kept()
        about = _About(self._calibration, place, tuple(self._data[: place.files + bool(place.batches)]), tuple(kept))
        arrays = {_ABOUT: np.frombuffer(json.dumps(asdict(about)).encode(), np.uint8)}
        for position, words in enumerate(kept.values()):
            arrays |= {f"{position}.{word}": array for word, array in words.items()}
        write_arrays(self._path, arrays)
        self._saved = time.monotonic()
