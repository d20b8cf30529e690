"""What a child may read and write."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attnexport.sandbox.landlock import DEVICE, READ, WRITE, Access

_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/opt", "/nix/store", "/gnu/store", "/proc", "/sys"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/os-release", "/etc/localtime", "/etc/fonts"),
    *("/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/hosts", "/dev/urandom", "/dev/random"),
)
# CUDA names its threads through the last.
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/proc/self/task")
# GPUs, of a server and of a Jetson.
_GPUS = ("nvidia*", "nvhost*", "nvmap", "nvgpu", "nvsciipc", "dri")
_VARIABLES = (
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "TENSORRT_ROOT",
    "ATTNEXPORT_TENSORRT",
    "ATTNEXPORT_PLUGIN_LIBRARY",
)


@dataclass(frozen=True)
class Places:
    """Files and folders beside those of Python and the system.

    Attributes:
        readable: may be read.
        writable: folders in which files may be made, changed and removed.
        scratch: a folder for temporary files, links among them.
    """

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    scratch: Path | None = None

    def allowed(self, *, programs: bool) -> Iterator[tuple[Path, Access]]:
        """For Landlock.

        Args:
            programs: whether those of Python and the system may be started.
        """
        system = READ | Access.EXECUTE if programs else READ
        yield from ((path, system) for path in (*map(Path, _SYSTEM), *_of_python(), *_of_variables()))
        yield from ((path, READ) for path in self.readable)
        yield from ((path, WRITE) for path in self.writable)
        if self.scratch is not None:
            yield self.scratch, WRITE | Access.MAKE_SYM
        yield from ((path, DEVICE) for path in _devices())


def visible(folder: Path) -> Iterator[Path]:
    """The folder, or, where the user's home is in it, what in it is not hidden: keys and settings stay unread."""
    home = Path(os.path.expanduser("~")).resolve()
    if not home.is_relative_to(folder.resolve()):
        yield folder
        return
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.is_dir():
            yield from visible(path)
        elif not path.name.startswith("."):
            yield path


def _devices() -> Iterator[Path]:
    yield from map(Path, _DEVICES)
    for pattern in _GPUS:
        yield from Path("/dev").glob(pattern)


def _of_python() -> Iterator[Path]:
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    for name in ("attnexport", "attnexport.plugins", "attnexport.calibration"):
        found = importlib.util.find_spec(name)
        for folder in map(Path, (found and found.submodule_search_locations) or ()):
            yield from (folder, *_linked(folder))
    # The current folder, which ``python -m`` puts there, holds the user's own files.
    for path in (Path(entry) for entry in sys.path if entry not in ("", os.getcwd())):
        if path.is_dir():
            yield from (*visible(path), *_linked(path))
        elif path.is_file():
            yield path


def _linked(folder: Path) -> Iterator[Path]:
    """Where links in it lead: packages may lie in a checkout or in an installer's store."""
    yield from (path.resolve() for path in folder.iterdir() if path.is_symlink())


def _of_variables() -> Iterator[Path]:
    for name in _VARIABLES:
        yield from (Path(part) for part in os.environ.get(name, "").split(os.pathsep) if part)
