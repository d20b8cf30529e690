"""A folder of the cache for each stranger's model, so that none can write what is believed of another."""

from __future__ import annotations

import shutil
from pathlib import Path

from attnexport.files.outputs import sha256
from attnexport.files.private_folder import make_private

_LIMIT = 2 << 30


def cache_of(model: Path, cache: Path, limit: int = _LIMIT) -> Path:
    """The folder for the outputs of this file, made where it is not there; older ones make room for it.

    Args:
        model: the file; its content names the folder.
        cache: the cache of reference outputs.
        limit: bytes that the folders of other models may keep, those used last. Default: 2 GiB.

    Raises:
        OSError: it cannot be made.
    """
    folder = cache / "strangers" / sha256(model)
    make_private(folder)
    folder.touch()
    _make_room(folder, limit)
    return folder


def _make_room(kept: Path, limit: int) -> None:
    others = [folder for folder in kept.parent.iterdir() if folder != kept and folder.is_dir()]
    held = 0
    for folder in sorted(others, key=lambda folder: folder.stat().st_mtime, reverse=True):
        held += sum(file.lstat().st_size for file in folder.iterdir())
        if held > limit:
            shutil.rmtree(folder, ignore_errors=True)
