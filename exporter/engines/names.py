"""How the files of an engine are called."""

from __future__ import annotations

from pathlib import Path

from attnexport.errors import InputError
from attnexport.files.kinds import ENGINE

ENGINE_SUFFIXES = ENGINE.suffixes


def manifest_path(engine: Path) -> Path:
    """Where an engine's manifest lies."""
    return engine.with_name(f"{engine.name}.json")


def check_engine_files(engine: Path) -> None:
    """Refuses an engine that is not there, or whose manifest is not.

    Raises:
        InputError: naming the file.
    """
    if not engine.is_file():
        raise InputError(f"{engine}: no such file")
    path = manifest_path(engine)
    if not path.is_file():
        raise InputError(f"{path}: no such file; attnexport build writes it beside the engine, whose manifest it is")
