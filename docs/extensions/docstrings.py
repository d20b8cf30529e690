"""Docstrings are written to be read in a terminal: their equations stay as they are set, and a bar is a bar."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

LITERAL = re.compile(r"(``.+?``)")
SECTIONS = re.compile(r"\w+:$")


def for_sphinx(lines: list[str]) -> list[str]:
    """The docstring as reStructuredText that says the same."""
    out: list[str] = []
    in_equations = False
    for line in lines:
        indented = line.startswith("    ")
        in_equations = indented and (in_equations or _begins_equations(out))
        if in_equations and not out[-1].strip():
            out += ["::", ""]
        out.append(line if in_equations else _without_substitutions(line))
    return out


def _begins_equations(before: list[str]) -> bool:
    """Whether what is indented here stands in a paragraph of its own, and is not a section's."""
    told = [line for line in before if line.strip() and not line.startswith(" ")]
    return bool(told) and not before[-1].strip() and SECTIONS.match(told[-1]) is None


def _without_substitutions(line: str) -> str:
    parts = LITERAL.split(line)
    return "".join(part if part.startswith("``") else part.replace("|", r"\|") for part in parts)


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = for_sphinx(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process, priority=400)  # Before napoleon, which is at 500.
    return {"parallel_read_safe": True, "parallel_write_safe": True}
