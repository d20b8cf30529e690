"""Lines of a text whose words stay whole."""

from __future__ import annotations

import re

from attnexport.display.cells import cells


def wrapped(text: str, width: int, *, indent: int = 0) -> list[str]:
    """Lines of at most ``width`` cells, broken at spaces, those after the first indented.

    A path that is too long is broken after slashes. A word that is too long all the same has a line of its own, which
    it leaves: what a terminal folds can be copied, what was cut cannot.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        room = width - (indent if lines else 0)
        if line and cells(line) + 1 + cells(word) <= room:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, width - (indent if lines else 0))
        lines += full
    lines.append(line)
    return [line if position == 0 else indented(line, indent, width) for position, line in enumerate(lines)]


def indented(line: str, indent: int, width: int) -> str:
    """A line behind its indent, or behind as much of it as the width leaves."""
    return " " * max(min(indent, width - cells(line)), 0) + line


def _pieces(word: str, width: int) -> list[str]:
    """The word, or parts of it that end in slashes and fit."""
    if cells(word) <= width or "://" in word:
        return [word]
    found = [""]
    for part in re.split(r"(?<=/)", word):
        if found[-1] and cells(found[-1] + part) > width:
            found.append(part)
        else:
            found[-1] += part
    return found
