"""What is what, a line each: a word, and what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from attnexport.display.cells import cells, padded
from attnexport.display.terminal import Style, Terminal
from attnexport.display.wrapping import indented, wrapped

_GAP = 2


@dataclass
class Facts:
    """Words and what they stand for, in order; a word may come again."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, word: str, meaning: str) -> None:
        """One more."""
        self.rows.append((word, meaning))

    def lines(self, terminal: Terminal) -> Iterator[str]:
        """Words in one column and meanings in another, which wraps; one that no line can hold is put below its word."""
        rows = [(terminal.text(word), terminal.text(meaning)) for word, meaning in self.rows]
        indent = _GAP + max((cells(word) for word, _ in rows), default=0)
        room = terminal.width - indent
        for word, meaning in rows:
            name = terminal.styled(padded(word, indent - _GAP), Style.STRONG) + " " * _GAP
            lines = wrapped(meaning, room)
            if all(cells(line) <= room for line in lines):
                yield f"{name}{lines[0]}".rstrip()
                yield from (" " * indent + line for line in lines[1:])
            else:
                yield name.rstrip()
                yield from (indented(line, _GAP, terminal.width) for line in wrapped(meaning, terminal.width))
