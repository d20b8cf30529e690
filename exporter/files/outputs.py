"""Output files that are either whole or absent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnexport.errors import InputError
from attnexport.files.kinds import FileKind, check_kind
from attnexport.files.staging import staging_folder

STDOUT = Path("-")
"""Stands for standard output, where a report may be written to it."""

_held_back: dict[Path, Path] = {}


def hold_back(path: Path, folder: Path) -> None:
    """Has :func:`replacing` move the files of this output into ``folder`` from now on, for another process to place."""
    _held_back[path.absolute()] = folder


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A staging folder beside the output, whose files move there when the block succeeds.

    The caller writes files into the yielded folder under their final names; the file named like ``path`` moves
    last. When the block fails, nothing is left; what a killed process leaves is swept by the next that writes there.

    Raises:
        InputError: the folder does not exist, cannot be written or runs full.
    """
    check_output(path)
    target = Path(path)
    folder = _held_back.get(target.absolute(), target.parent)
    try:
        with staging_folder(folder, target.name) as staging:
            yield staging
            written = sorted(staging.iterdir(), key=lambda file: file.name == target.name)
            for file in written:
                os.replace(file, folder / file.name)
    except OSError as error:
        if error.filename is not None and not _below(error.filename, folder):
            raise
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 whole or not at all, or to standard output for ``-``."""
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with replacing(path) as staging:
        (staging / path.name).write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON whole or not at all, or to standard output for ``-``."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def check_not_same(output: Path | None, *inputs: Path | None) -> None:
    """Refuses an output that is one of the inputs.

    Raises:
        InputError: naming the file.
    """
    for given in inputs:
        if output is not None and given is not None and output.exists() and given.exists() and output.samefile(given):
            raise InputError(f"{output}: expected another name for the output, given the input {given}")


def check_not_twice(*outputs: Path | None) -> None:
    """Refuses two outputs of one name.

    Raises:
        InputError: naming the file.
    """
    given = [path for path in outputs if path is not None]
    for position, path in enumerate(given):
        if path.resolve() in {other.resolve() for other in given[:position]}:
            raise InputError(f"{path}: expected another name for each output, given one twice")


def check_output(path: str | os.PathLike[str] | None, kind: FileKind | None = None) -> None:
    """Refuses an output file that cannot be written, before the long work; for None and ``-`` does nothing.

    Args:
        path: the file.
        kind: what will be in it, which its name must not deny. Default: None, anything.

    Raises:
        InputError: the path is a folder, its folder does not exist or may not be written, or its name is that of
            another kind of file.
    """
    if path is None:
        return
    target = Path(path)
    if target == STDOUT:
        return
    if kind is not None:
        check_kind(target, kind)
    folder = target.parent
    if target.is_dir():
        raise InputError(f"{target}: expected a file to write, given a folder")
    if not folder.is_dir():
        raise InputError(f"{target}: expected an existing folder to write into, given {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{target}: cannot be written: no permission to write into {folder}")


def _below(name: object, folder: Path) -> bool:
    return Path(str(name)).resolve().is_relative_to(folder.resolve())


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, read in pieces."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
