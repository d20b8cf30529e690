"""Tables that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from attnexport.display.columns import Cell, Column
from attnexport.display.table_layout import table_lines
from attnexport.display.terminal import Style, Terminal
from attnexport.display.wrapping import wrapped


@dataclass
class Table:
    """Rows under headings.

    No number, name or verdict is cut or broken at any width. Where not all columns fit beside each other, those that
    matter least go below their row, as ``heading value``; one that says the same in every row is said once, below the
    table, and one that is empty is left out. A name that is wider than its column has a line of its own.

    Attributes:
        title: above it.
        columns: in order.
        rows: a cell for each column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    def add(self, *cells: str | Cell) -> None:
        """One more row; a text is a cell without a style.

        Raises:
            ValueError: another number of cells than of columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"expected {len(self.columns)} cells, given {len(cells)}")
        self.rows.append(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells))

    def lines(self, terminal: Terminal) -> Iterator[str]:
        """The title, headings and rows, of at most the terminal's width unless a single word is wider."""
        for line in wrapped(terminal.text(self.title), terminal.width):
            yield terminal.styled(line, Style.STRONG)
        yield from table_lines(self.columns, self.rows, terminal)
