"""Which columns of a table stand beside each other at a width, and how wide they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from attnexport.display.cells import cells
from attnexport.display.columns import Column, Importance, Kind

GAP = 2
"""Cells between two columns."""

_NARROW_NAME = 16
"""Width that the naming column may shrink to; wider names then have a line of their own."""
_NARROW_PROSE = 24
"""Width that prose may shrink to beside other columns."""


@dataclass(frozen=True)
class Texts:
    """The texts of a table as they are shown.

    Attributes:
        columns: with their headings.
        rows: a text for each column.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def naming_column(columns: Sequence[Column]) -> int:
    """Position of the column whose names may have a line of their own."""
    naming = (at for at, column in enumerate(columns) if column.importance is Importance.NAMES_THE_ROW)
    return next(naming, 0)


def total(widths: Collection[int]) -> int:
    """The width of columns beside each other."""
    return sum(widths) + GAP * (len(widths) - 1)


def widths_beside(texts: Texts, room: int) -> dict[int, int]:
    """Widths, by position, of the columns that stand beside each other: as many as fit, the naming one at least.

    Headings wrap before a name has a line of its own, and that comes before a column goes below its row.
    """
    first = naming_column(texts.columns)
    leaving = [at for at in range(len(texts.columns)) if at != first]
    leaving.sort(key=lambda at: (texts.columns[at].importance, -at))
    for count in range(len(leaving) + 1):
        staying = [at for at in range(len(texts.columns)) if at not in leaving[:count]]
        whole, least = _with_whole_headings(texts, staying), _least(texts, staying)
        prose = {at: width for at, width in whole.items() if texts.columns[at].kind is Kind.PROSE}
        widths = _spread(whole, whole, room) or _spread(least, prose, room) or _with_names_alone(texts, least, room)
        if widths:
            return widths
    return {first: cells(texts.columns[first].heading)}


def _with_whole_headings(texts: Texts, staying: Sequence[int]) -> dict[int, int]:
    """The widths of columns that nothing wraps in."""
    return {at: max(cells(texts.columns[at].heading), _widest(texts, at)) for at in staying}


def _least(texts: Texts, staying: Sequence[int]) -> dict[int, int]:
    """The widths below which columns break what they may not: all of a name or number, the words of prose."""
    found = {}
    for at in staying:
        width = _widest(texts, at)
        if texts.columns[at].kind is Kind.PROSE:
            words = (cells(word) for row in texts.rows for word in row[at].split())
            width = min(width, max(_NARROW_PROSE, max(words, default=0)))
        found[at] = max(width, _heading(texts, at))
    return found


def _spread(least: dict[int, int], whole: dict[int, int], room: int) -> dict[int, int] | None:
    """Widths from the least up to the whole ones, None where not even the least fit."""
    spare = room - total(least.values())
    if spare < 0:
        return None
    needs = {at: max(whole.get(at, 0) - width, 0) for at, width in least.items()}
    needed = max(sum(needs.values()), spare, 1)
    return {at: width + needs[at] * spare // needed for at, width in least.items()}


def _with_names_alone(texts: Texts, least: dict[int, int], room: int) -> dict[int, int] | None:
    """The least widths, with a naming column that the widest names leave; None where it would be too narrow."""
    first = naming_column(texts.columns)
    left = room - total(least.values()) + least[first]
    if left < max(min(least[first], _NARROW_NAME), _heading(texts, first)):
        return None
    fitting = (width for row in texts.rows if (width := cells(row[first])) <= left)
    return {**least, first: max(_heading(texts, first), *fitting, 0)}


def _widest(texts: Texts, at: int) -> int:
    return max((cells(row[at]) for row in texts.rows), default=0)


def _heading(texts: Texts, at: int) -> int:
    """The longest word of a heading."""
    return max(map(cells, texts.columns[at].heading.split()), default=0)
