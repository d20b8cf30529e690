"""The lines of a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from attnexport.display.cells import cells
from attnexport.display.column_widths import GAP, Texts, naming_column, total, widths_beside
from attnexport.display.columns import Cell, Column, Importance, Kind
from attnexport.display.terminal import Style, Terminal
from attnexport.display.wrapping import indented, wrapped

_INDENT = 4
_BETWEEN_PAIRS = 3


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], terminal: Terminal) -> Iterator[str]:
    """Headings and rows, of at most the terminal's width unless a single word is wider. Empty columns are left out."""
    used = [at for at in range(len(columns)) if not rows or any(row[at].text for row in rows)]
    named = [replace(columns[at], heading=terminal.text(columns[at].heading)) for at in used]
    shown = [[replace(row[at], text=terminal.text(row[at].text)) for at in used] for row in rows]
    widths = widths_beside(Texts(named, [[cell.text for cell in row] for row in shown]), terminal.width)
    layout = _Layout(named, widths, terminal)

    kept = [at for at, column in enumerate(named) if column.importance is not Importance.FOR_WIDE_TERMINALS]
    below = [at for at in kept if at not in widths]
    alike = [at for at in below if len(shown) > 1 and len({row[at].text for row in shown}) == 1]
    yield from layout.headings()
    for row in shown:
        yield from layout.beside(row)
        yield from layout.below({at: row[at] for at in below if at not in alike and row[at].text})
    if alike:
        yield "in every row:"
        yield from layout.below({at: shown[0][at] for at in alike})


@dataclass(frozen=True)
class _Layout:
    """Columns that stand beside each other, by position, and those that do not."""

    columns: Sequence[Column]
    widths: Mapping[int, int]
    terminal: Terminal

    def headings(self) -> Iterator[str]:
        """The line or lines above the columns, and a rule."""
        parts = [wrapped(self.columns[at].heading, width) for at, width in self.widths.items()]
        height = max(map(len, parts))
        for texts in zip(*([""] * (height - len(lines)) + lines for lines in parts), strict=True):
            yield self._line([Cell(text, Style.STRONG) for text in texts])
        yield self.terminal.styled(self.terminal.rule(total(self.widths.values())), Style.FAINT)

    def beside(self, row: Sequence[Cell]) -> Iterator[str]:
        """The cells that stand beside each other; the name is on a line of its own where it is too wide."""
        parts = {at: self._wrapped(at, row[at], width) for at, width in self.widths.items()}
        first = naming_column(self.columns)
        if any(cells(line) > self.widths[first] for line in parts[first]):
            yield from self._alone(first, row[first])
            parts[first] = [""]
        if any(lines[0] for lines in parts.values()):
            for texts in itertools.zip_longest(*parts.values(), fillvalue=""):
                yield self._line([Cell(text, row[at].style) for at, text in zip(parts, texts, strict=True)])

    def below(self, found: Mapping[int, Cell]) -> Iterator[str]:
        """Headings and values, as many on a line as fit; prose has its own lines."""
        room = self.terminal.width - _INDENT
        prose = {at: cell for at, cell in found.items() if self.columns[at].kind is Kind.PROSE}
        pairs = [pair for at, cell in found.items() if at not in prose for pair in self._pair(at, cell, room)]
        for line, width in _flowing(pairs, room):
            yield " " * max(min(_INDENT, self.terminal.width - width), 0) + line
        for at, cell in prose.items():
            for line in wrapped(f"{self.columns[at].heading} {cell.text}", room):
                yield indented(line, _INDENT, self.terminal.width)

    def _pair(self, at: int, cell: Cell, room: int) -> list[tuple[str, int]]:
        """A heading with its value, or the two apart where a line cannot hold both; each with its width."""
        heading = self.terminal.styled(self.columns[at].heading, Style.FAINT)
        value = self.terminal.styled(cell.text, cell.style)
        widths = cells(self.columns[at].heading), cells(cell.text)
        if sum(widths) < room:
            return [(f"{heading} {value}", sum(widths) + 1)]
        return [(heading, widths[0]), (value, widths[1])]

    def _wrapped(self, at: int, cell: Cell, width: int) -> list[str]:
        return wrapped(cell.text, width) if self.columns[at].kind is Kind.PROSE else [cell.text]

    def _alone(self, at: int, cell: Cell) -> Iterator[str]:
        """A cell that is too wide for its column, on lines of its own."""
        for line in self._wrapped(at, cell, self.terminal.width):
            yield self.terminal.styled(line, cell.style)

    def _line(self, line: Sequence[Cell]) -> str:
        parts = []
        for (at, width), cell in zip(self.widths.items(), line, strict=True):
            text, space = self.terminal.styled(cell.text, cell.style), " " * (width - cells(cell.text))
            parts.append(f"{space}{text}" if self.columns[at].kind is Kind.NUMBER else f"{text}{space}")
        return (" " * GAP).join(parts).rstrip()


def _flowing(parts: Sequence[tuple[str, int]], room: int) -> Iterator[tuple[str, int]]:
    """Lines with their widths, of as many parts as fit."""
    line, width = "", 0
    for text, taken in parts:
        if line and width + _BETWEEN_PAIRS + taken > room:
            yield line, width
            line, width = "", 0
        line, width = (f"{line}{' ' * _BETWEEN_PAIRS}{text}", width + _BETWEEN_PAIRS + taken) if line else (text, taken)
    if line:
        yield line, width
