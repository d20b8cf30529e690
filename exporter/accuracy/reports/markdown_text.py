"""Pieces of GitHub's Markdown in which names from files stay text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attnexport.printable import printable_line

_SPECIAL = re.compile(r"([!#$&()*+\-.:<=>@\[\\\]^_`{|}~])")
_REFERENCE = re.compile(r"([@#])(?=\w)")


def plain(text: str) -> str:
    """A sentence on one line in which nothing is markup, a link, a mention or a reference to an issue."""
    escaped = _SPECIAL.sub(r"\\\1", printable_line(text))
    # GitHub finds mentions after it has read the Markdown, so escaping does not hide them.
    return _REFERENCE.sub("\\1\N{ZERO WIDTH SPACE}", escaped)


def code(text: str) -> str:
    """A name in code type, on one line."""
    line = printable_line(text) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table of cells that are Markdown; columns behind the first whose heading ends with ``:`` go right."""
    aligned = ["---:" if heading.endswith(":") else "---" for heading in headings]
    lines = [[heading.removesuffix(":") for heading in headings], aligned, *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def cell(markdown: str) -> str:
    """Markdown that :func:`code` made, for a table: there a bar ends the cell even in code."""
    return markdown.replace("|", "\\|")


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Lines behind a summary that opens them. The summary is HTML: no text from files."""
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", ""]
