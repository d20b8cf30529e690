"""Writes a comparison in the format that a file's name says, or that was asked for."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.accuracy.comparing.comparison import Comparison
from attnexport.files.kinds import HTML, JSON, MARKDOWN, format_of
from attnexport.files.outputs import write_json, write_text

_KINDS = {"html": HTML, "json": JSON, "markdown": MARKDOWN}


def save_comparison(comparison: Comparison, path: str | os.PathLike[str], file_format: str | None = None) -> None:
    """Writes a comparison whole or not at all.

    Args:
        comparison: what was found.
        path: the file, or ``-`` for standard output, with a format.
        file_format: html, json or markdown. Default: None, by the name's end: .html, .json or .md.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    target = Path(path)
    chosen = file_format or format_of(target, _KINDS)
    if chosen == "json":
        from attnexport.accuracy.reports.comparison.json_report import as_json

        write_json(target, as_json(comparison))
    elif chosen == "markdown":
        from attnexport.accuracy.reports.comparison.markdown import render

        write_text(target, render(comparison))
    else:
        from attnexport.accuracy.reports.html.comparison_page import render

        write_text(target, render(comparison))
