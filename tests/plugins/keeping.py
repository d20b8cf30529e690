"""Keeps what is compiled for tests: made once for all workers, and again when something that it is made of changes."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from attnexport.plugins.building.sources import Sources
from attnexport.plugins.building.toolchain import find_tool
from tests.tools import TOOLS

FOLDER = Path(__file__).parents[2] / "build" / "tests"
KEPT = 3
"""How many states of the sources a folder is kept for."""


def compiled_once(name: str, make: Callable[[Path], None], given: Iterable[Path] = ()) -> Path:
    """The folder that ``make`` fills, unless it has with the same sources, code, compilers and given files."""
    folder = FOLDER / name / _digest(make, given)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / ".made"
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
        made.touch()
        for old in sorted(folder.parent.iterdir(), key=_last_used)[:-KEPT]:
            shutil.rmtree(old)
    return folder


def _last_used(folder: Path) -> float:
    made = folder / ".made"
    return made.stat().st_mtime if made.exists() else 0


def _digest(make: Callable[[Path], None], given: Iterable[Path]) -> str:
    """Of everything that ``make`` may read: it is a function of a test's file, whose C++ lies beside it."""
    code = Path(make.__code__.co_filename)
    own = [code, *(path for path in code.parent.iterdir() if path.suffix in (".c", ".cpp", ".cu"))]
    digest = hashlib.sha256(_sources().encode())
    for path in (*sorted(own), *given):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


@functools.cache
def _sources() -> str:
    """A digest of the folder plugins, of what compiles it and of TensorRT's headers."""
    root, headers = Sources().root, TOOLS["TensorRT's headers"].find()
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    for compiler in filter(None, (shutil.which("g++"), find_tool("nvcc"), TOOLS["cmake"].find())):
        digest.update(subprocess.run([str(compiler), "--version"], capture_output=True, check=True).stdout)
    digest.update(b"" if headers is None else (Path(headers) / "NvInferVersion.h").read_bytes())
    digest.update(Path(__file__).with_name("libraries.py").read_bytes())
    return digest.hexdigest()
