"""What a comparison needs of a check's JSON: docs/report-formats.md has every key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from attnexport.errors import InputError
from attnexport.files.schemas import entries_of
from attnexport.files.typed_json import Unbounded, read_json, typed

SCHEMA = "attnexport.check/1"


@dataclass(frozen=True)
class Part:
    """A part of a report; further keys are of no interest here."""

    other_keys_are_ignored: ClassVar[bool] = True


@dataclass(frozen=True)
class ReadModel(Part):
    """As CheckedModel."""

    name: str
    source_hash: str
    precision: str


@dataclass(frozen=True)
class ReadFacts(Part):
    """As ContenderFacts."""

    name: str
    runtime: str
    precision: str


@dataclass(frozen=True)
class ReadKind(Part):
    """As KindErrors."""

    kind: str
    share: Unbounded
    largest_error: Unbounded
    judged: bool
    passed: bool
    is_yardstick: bool = False


@dataclass(frozen=True)
class ReadOutput(Part):
    """As OutputErrors."""

    name: str
    kinds: tuple[ReadKind, ...]


@dataclass(frozen=True)
class ReadMetric(Part):
    """As Metric."""

    name: str
    drop: Unbounded
    max_drop: Unbounded | None
    passed: bool


@dataclass(frozen=True)
class ReadLayer(Part):
    """As LayerError."""

    layer: str
    op: str
    share: Unbounded
    passed: bool


@dataclass(frozen=True)
class ReadBisection(Part):
    """As Bisection."""

    layers: tuple[ReadLayer, ...]
    guilty: ReadLayer | None


@dataclass(frozen=True)
class ReadFailure(Part):
    """As Failure."""

    where: str
    output: str
    line: str

    @property
    def place(self) -> str:
        """What is wrong: the output on whatever inputs, else the layer, batch or metric."""
        return self.output or self.where


@dataclass(frozen=True)
class ReadContender(Part):
    """As ContenderResult."""

    facts: ReadFacts
    outputs: tuple[ReadOutput, ...]
    metrics: tuple[ReadMetric, ...]
    failures: tuple[ReadFailure, ...]
    bisection: ReadBisection | None
    passed: bool
    outcome: str = ""


@dataclass(frozen=True)
class ReadHazard(Part):
    """As Hazard."""

    layer: str
    head: int | None
    name: str
    value: Unbounded
    limit: Unbounded
    reached: bool


@dataclass(frozen=True)
class ReadReport(Part):
    """As CheckReport.

    Attributes:
        source: the file, or what else it was read from.
    """

    model: ReadModel
    contenders: tuple[ReadContender, ...]
    hazards: tuple[ReadHazard, ...]
    environment: Mapping[str, str]
    passed: bool
    inputs_sha256: str = ""
    source: str = ""


def read_report(path: str | os.PathLike[str]) -> ReadReport:
    """The report in a file.

    Raises:
        InputError: no such file, or one that ``check --json`` did not write.
    """
    try:
        given = read_json(Path(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return report_of(given, str(path))


def report_of(given: Any, source: str) -> ReadReport:
    """The report in JSON that was read.

    Raises:
        InputError: another schema, or values of other types.
    """
    try:
        entries = entries_of(SCHEMA, given, "give what attnexport check --json wrote")
        return typed(ReadReport, {**entries, "source": source})  # type: ignore[no-any-return]
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
