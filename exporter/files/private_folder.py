"""Folders whose files may be believed, because nobody but their user can have written them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_private(folder: Path) -> None:
    """Makes a folder and those above it that are missing, for the user alone.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def open_to_others(folder: Path) -> str:
    """Why others can put files into a folder, or something else in its place; empty where they cannot.

    Others are whoever is neither the user nor root. Above the folder, one in which each may only remove what is their
    own, as /tmp, does no harm. A folder that is missing is judged by those above it.

    Raises:
        OSError: one of them cannot be looked at.
    """
    if not hasattr(os, "getuid"):
        return ""
    real = folder.resolve()
    for place in (real, *real.parents):
        if not place.exists():
            continue
        facts = place.stat()
        if facts.st_uid != os.getuid() and (place == real or facts.st_uid != 0):
            return f"{place} belongs to another user"
        shared = place != real and facts.st_mode & stat.S_ISVTX
        if facts.st_mode & _OTHERS_WRITE and not shared:
            return f"others may write into {place} (chmod go-w takes that away)"
    return ""
