"""Writes what tune found in the format that a file's name says."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.calibration.tuning.html_page import render
from attnexport.calibration.tuning.json_report import as_json
from attnexport.calibration.tuning.result import Tuning
from attnexport.files.kinds import HTML, JSON, format_of
from attnexport.files.outputs import write_json, write_text

_KINDS = {"html": HTML, "json": JSON}


def save_tuning(found: Tuning, path: str | os.PathLike[str], file_format: str | None = None) -> None:
    """Writes a report whole or not at all.

    Args:
        found: what was found.
        path: the file, or ``-`` for standard output, with a format.
        file_format: html or json. Default: None, by the name's end: .html or .json.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    target = Path(path)
    if (file_format or format_of(target, _KINDS)) == "json":
        write_json(target, as_json(found))
    else:
        write_text(target, render(found))
