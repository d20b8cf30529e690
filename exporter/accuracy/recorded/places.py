"""Where a recorded set is told from other folders."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "manifest.json"


def is_recorded_set(path: Path) -> bool:
    """Whether a path is a recorded set, though its manifest may be missing."""
    return (path / MANIFEST).is_file() or (path / "inputs").is_dir()
