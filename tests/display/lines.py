"""Holds lines to what the display layer promises: nothing cut or broken, nothing too wide that could be within."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attnexport.display.cells import cells
from attnexport.display.columns import Importance, Kind
from attnexport.display.facts import Facts
from attnexport.display.tables import Table
from attnexport.display.terminal import Terminal

TERMINALS = [
    Terminal(width, colored=colored, drawn=drawn, encoding="utf-8" if drawn else "ascii")
    for width in (60, 80, 100, 120)
    for colored, drawn in ((True, True), (False, True), (False, False))
]
"""With colours, without, and with ASCII alone."""


def plain(line: str) -> str:
    """A line without its colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", line)


def check_table(table: Table, terminal: Terminal) -> None:
    """Fails unless every name, number and verdict is whole on one line, and prose is broken between words alone."""
    lines = [plain(line) for line in table.lines(terminal)]
    _check_signs(lines, terminal)
    names = {terminal.text(cell.text) for row in table.rows for cell in row}
    _check_width(lines, terminal, names)
    for row in table.rows:
        for column, cell in _pairs(table, row):
            text = terminal.text(cell.text)
            if column.kind is Kind.PROSE:
                assert all(_is_whole(word, lines) for word in _words(text)), text
            elif column.importance is not Importance.FOR_WIDE_TERMINALS:
                assert _is_whole(text, lines), text


def check_facts(facts: Facts, terminal: Terminal) -> None:
    """Fails unless every word is whole on one line."""
    lines = [plain(line) for line in facts.lines(terminal)]
    _check_signs(lines, terminal)
    _check_width(lines, terminal, set())
    for word, meaning in facts.rows:
        assert _is_whole(terminal.text(word), lines), word
        assert all(_is_whole(part, lines) for part in _words(terminal.text(meaning))), meaning


def check_sentence(lines: Iterable[str], text: str, terminal: Terminal) -> None:
    """Fails unless the lines are the sentence, broken between words alone."""
    shown = [plain(line) for line in lines]
    _check_signs(shown, terminal)
    _check_width(shown, terminal, set())
    assert all(_is_whole(part, shown) for part in _words(terminal.text(text))), text


def _pairs(table: Table, row):
    return zip(table.columns, row, strict=True)


def _words(text: str) -> list[str]:
    """What may not be broken: words, and of paths what is between slashes."""
    return [part for word in text.split() for part in re.split(r"(?<=/)", word) if part]


def _is_whole(text: str, lines: list[str]) -> bool:
    """Whether some line has it, with nothing of a word around it."""
    end = "" if text.endswith("/") else r"(?!\S)"
    return not text or any(re.search(rf"(?<![^\s/]){re.escape(text)}{end}", line) for line in lines)


def _check_width(lines: list[str], terminal: Terminal, names: set[str]) -> None:
    """Only a word or name that no line could hold may be beyond the width, alone."""
    for line in lines:
        if cells(line) > terminal.width:
            assert " " not in line or line in names, line


def _check_signs(lines: list[str], terminal: Terminal) -> None:
    if not terminal.drawn:
        assert not set("".join(lines)) & set("─│…┌╭━−"), lines
    if terminal.encoding == "ascii":
        assert all(line.isascii() for line in lines), lines
