"""Ranges of activations: what calibration finds, as a file that can be kept, merged and refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnexport.errors import InputError
from attnexport.files.kinds import JSON, check_kind
from attnexport.files.outputs import write_json
from attnexport.files.schemas import entries_of
from attnexport.files.typed_json import read_json, typed
from attnexport.graph.inspection import model_sha256

SCHEMA = "attnexport.ranges/1"


@dataclass(frozen=True)
class Range:
    """Values that a tensor is quantized between.

    Attributes:
        lowest, highest: of the values that are told apart; those beyond them saturate.
        seen_lowest, seen_highest: of the values that calibration saw.
    """

    lowest: float
    highest: float
    seen_lowest: float
    seen_highest: float

    @property
    def magnitude(self) -> float:
        """The larger of both ends, as symmetric scales want it."""
        return max(abs(self.lowest), abs(self.highest))


@dataclass(frozen=True)
class Ranges:
    """What calibration found for one model.

    Attributes:
        model_sha256: of the ONNX file.
        data_sha256: of the data files, in the order in which they were read.
        method: minmax, percentile, entropy or mse.
        samples: how many were run.
        tensors: ranges by the tensor's name in the file.
        notes: what a user should know of the run, a sentence each; they are not written. Default: none.
    """

    model_sha256: str
    data_sha256: tuple[str, ...]
    method: str
    samples: int
    tensors: Mapping[str, Range]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes them as JSON.

        Raises:
            InputError: the file cannot be written, or its name is that of another kind of file.
        """
        check_kind(path, JSON)
        write_json(Path(path), _as_json(self))


def read_ranges(path: str | os.PathLike[str]) -> Ranges:
    """Reads what ``Ranges.save`` wrote.

    Raises:
        InputError: no such file, or another kind of file or format.
    """
    path = Path(path)
    try:
        found: Ranges = typed(Ranges, entries_of(SCHEMA, read_json(path), "calibrate again"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected ranges of attnexport calibrate: {error}") from error
    return replace(found, notes=())


def merged_with(
    path: str | os.PathLike[str], files: Sequence[str | os.PathLike[str]], ranges: Ranges | None = None
) -> Ranges:
    """Ranges of a model from files of calibrate, and those of this machine, as one.

    Args:
        path: the ONNX file.
        files: of its ranges.
        ranges: others. Default: None.

    Raises:
        InputError: a file that holds none, ranges of another model, such as cannot be merged, or none at all.
    """
    return merged([*parts_of(path, files), *([] if ranges is None else [ranges])])


def parts_of(path: str | os.PathLike[str], files: Sequence[str | os.PathLike[str]]) -> tuple[Ranges, ...]:
    """Ranges of a model from files of calibrate.

    Raises:
        InputError: a file that holds none, or ranges of another model.
    """
    parts, model = [], model_sha256(Path(path))
    for file in files:
        found = read_ranges(file)
        if found.model_sha256 != model:
            raise InputError(f"{file}: expected ranges of SHA-256 {model}, which is {path}, given {found.model_sha256}")
        parts.append(found)
    return tuple(parts)


def merged(parts: Sequence[Ranges]) -> Ranges:
    """Ranges of one model from several machines or sets of data as one; each tensor's are those that hold all.

    Raises:
        InputError: no parts, parts of different models or methods, or with data that two of them hold.
    """
    refuse_unfit_parts(parts)
    first = parts[0]
    names = {name: None for part in parts for name in part.tensors}
    return Ranges(
        first.model_sha256,
        tuple(digest for part in parts for digest in part.data_sha256),
        first.method,
        sum(part.samples for part in parts),
        {name: _widest([part.tensors[name] for part in parts if name in part.tensors]) for name in names},
    )


def refuse_unfit_parts(parts: Sequence[Ranges]) -> None:
    """Refuses ranges that cannot be merged; what their tensors are does not matter.

    Raises:
        InputError: none, those of different models or methods, or with data that two of them hold.
    """
    if not parts:
        raise InputError("ranges: expected at least one file of them, given none")
    first = parts[0]
    for part in parts[1:]:
        if part.model_sha256 != first.model_sha256:
            raise InputError(f"ranges: expected those of one model, given {first.model_sha256} and {part.model_sha256}")
        if part.method != first.method:
            raise InputError(f"ranges: expected those of one method, given {first.method} and {part.method}")
    holders = Counter(digest for part in parts for digest in dict.fromkeys(part.data_sha256))
    twice = next((digest for digest, held in holders.items() if held > 1), None)
    if twice is not None:
        raise InputError(f"ranges: data of SHA-256 {twice} is in two of them")


def _widest(ranges: Sequence[Range]) -> Range:
    return Range(
        min(one.lowest for one in ranges),
        max(one.highest for one in ranges),
        min(one.seen_lowest for one in ranges),
        max(one.seen_highest for one in ranges),
    )


def _as_json(ranges: Ranges) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model_sha256": ranges.model_sha256,
        "data_sha256": list(ranges.data_sha256),
        "method": ranges.method,
        "samples": ranges.samples,
        "tensors": {
            name: {
                "lowest": found.lowest,
                "highest": found.highest,
                "seen_lowest": found.seen_lowest,
                "seen_highest": found.seen_highest,
            }
            for name, found in ranges.tensors.items()
        },
    }
