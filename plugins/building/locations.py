"""Where libraries are built to and looked for when nobody says."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.files.private_folder import open_to_others
from attnexport.plugins.building.sources import library_names

LIBRARY_VARIABLE = "ATTNEXPORT_PLUGIN_LIBRARY"
"""Environment variable that names the library for eager PyTorch."""


def default_folder() -> Path:
    """$XDG_CACHE_HOME/attnexport/plugins, or the same below ~/.cache."""
    return cache_folder("plugins")


def cache_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/attnexport/``name``, or the same below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "attnexport" / name


def default_library() -> Path | None:
    """The newest library in the default folder that eager PyTorch can call, or None."""
    names = (*library_names("none"), library_names("v3")[0])
    found = [path for path in (default_folder() / name for name in names) if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def is_ones_own(path: Path) -> bool:
    """Whether a file and its folder belong to this user and nobody else may write them: opening a library runs it."""
    facts = path.stat()
    return facts.st_uid == os.getuid() and not facts.st_mode & 0o022 and not open_to_others(path.parent)
