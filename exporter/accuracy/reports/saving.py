"""Writes the report of a check in the format that a file's name says, or that was asked for."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.reports import html, junit, markdown
from attnexport.accuracy.reports.json_report import as_json
from attnexport.files.kinds import HTML, JSON, JUNIT, MARKDOWN, format_of
from attnexport.files.outputs import write_json, write_text

_RENDERERS = {"html": html.render, "junit": junit.render, "markdown": markdown.render}
_KINDS = {"html": HTML, "json": JSON, "markdown": MARKDOWN, "junit": JUNIT}


def save_report(report: CheckReport, path: str | os.PathLike[str], file_format: str | None = None) -> None:
    """Writes a report whole or not at all.

    Args:
        report: what was found.
        path: the file, or ``-`` for standard output, with a format.
        file_format: html, json, junit or markdown. Default: None, by the name's end: .html, .json, .xml or .md.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    target = Path(path)
    chosen = file_format or format_of(target, _KINDS)
    if chosen == "json":
        write_json(target, as_json(report))
    else:
        write_text(target, _RENDERERS[chosen](report))
