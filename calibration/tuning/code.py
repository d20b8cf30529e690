"""The sources that figures depend on, so that those of other code are not taken for this one's."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

_SOURCES = {
    "calibration": ("**/*.py",),
    "graph": ("half_layers.py", "half_rules.py", "writing.py"),
    "accuracy.errors": ("*.py",),
    "backends": ("onnxruntime*.py",),
}


def sources() -> dict[str, Path]:
    """What says what a candidate makes of a file, how the file runs and how it is measured, as ``graph/writing.py``."""
    found = {}
    for package, patterns in _SOURCES.items():
        folder = Path(import_module(f"attnexport.{package}").__path__[0])
        for path in (path for pattern in patterns for path in folder.glob(pattern)):
            found[f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"] = path
    return found


def sha256_of(files: Mapping[str, Path]) -> str:
    """SHA-256 over files and their names."""
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@functools.cache
def code_sha256() -> str:
    """SHA-256 of these sources."""
    return sha256_of(sources())
