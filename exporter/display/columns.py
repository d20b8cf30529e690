"""What the columns of a table hold, and how much each matters where not all of them fit."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from attnexport.display.terminal import Style


class Importance(enum.IntEnum):
    """Which columns stay beside each other where the width does not hold all: the others go below their row."""

    FOR_WIDE_TERMINALS = 0
    """Left out where it does not fit: what reports hold, and the rest of the row implies."""
    LITTLE = 1
    SOME = 2
    MUCH = 3
    NAMES_THE_ROW = 4
    """The last to go; the first of these may take a line of its own."""


class Kind(enum.Enum):
    """What a column's cells are."""

    NAME = enum.auto()
    """A name, a word or a verdict: on the left, and never broken."""
    NUMBER = enum.auto()
    """A figure with its unit: on the right, and never broken."""
    PROSE = enum.auto()
    """Words that wrap between words, and paths that wrap after slashes."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: above it, or before its values where these are below their row.
        kind: what its cells are. Default: names.
        importance: whether it stays. Default: some.
    """

    heading: str
    kind: Kind = Kind.NAME
    importance: Importance = Importance.SOME


@dataclass(frozen=True)
class Cell:
    """A text with a style."""

    text: str
    style: Style = Style.PLAIN
