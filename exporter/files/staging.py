"""Staging folders beside outputs, and folders for work: locked while their owner lives, swept once it is dead."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_SUFFIX = ".attnexport"
_NAME = re.compile(r"\..+\.[a-z0-9_]{8}" + re.escape(_SUFFIX), re.DOTALL)
_LONGEST_NAME = 60


@contextmanager
def staging_folder(folder: Path, name: str) -> Iterator[Path]:
    """A new folder, gone at the end; those that killed processes left in the same place are swept first.

    Args:
        folder: where it is made.
        name: what it is for, a part of its own name.

    Raises:
        OSError: nothing can be made there.
    """
    with suppress(OSError):
        _sweep_once(folder.absolute())
    made = _made(folder, name)
    _open.append(made)
    try:
        yield made.path
    finally:
        made.remove()
        with suppress(ValueError):
            _open.remove(made)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A new folder for what is needed for a while, where the system keeps such; gone and swept like the others.

    Raises:
        OSError: nothing can be made there.
    """
    with staging_folder(Path(tempfile.gettempdir()), "work") as path:
        yield path


def remove_open() -> None:
    """Deletes the folders that this thread made and did not delete, as where a signal interrupted that."""
    for made in [made for made in _open if made.owner == _here()]:
        made.remove()
        _open.remove(made)


def sweep(folder: Path) -> None:
    """Deletes staging folders whose owner is dead; what is not named as ours, is locked or is a link stays.

    Raises:
        OSError: the folder cannot be read.
    """
    for path in [Path(entry.path) for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]:
        with suppress(OSError):
            lock = _lock(path)
            if lock is not None:
                _Made(path, lock).remove()


_sweep_once = functools.cache(sweep)


def _here() -> tuple[int, int]:
    """This thread of this process."""
    return os.getpid(), threading.get_ident()


@dataclass(frozen=True)
class _Made:
    """A folder of a thread, and its lock, which is None where there are no locks: nobody sweeps there."""

    path: Path
    lock: int | None
    owner: tuple[int, int] = field(default_factory=_here)

    def remove(self) -> None:
        """Deletes what is in it, and gives the lock back."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.lock is not None:
            with suppress(OSError):
                os.close(self.lock)


_open: list[_Made] = []


def _made(folder: Path, name: str) -> _Made:
    while True:
        path = Path(tempfile.mkdtemp(prefix=f".{name[:_LONGEST_NAME]}.", suffix=_SUFFIX, dir=folder))
        try:
            lock = _lock(path)
        except OSError:
            return _Made(path, None)
        if lock is not None:
            return _Made(path, lock)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed; None when another has it or the folder is gone.

    Raises:
        OSError: the file system, or Windows, has no locks of folders.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError("no locks of folders") from error
    try:
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # One who sweeps may have been between the making of the folder and its lock.
        os.stat(path)
    except (BlockingIOError, FileNotFoundError):
        os.close(held)
        return None
    except OSError:
        os.close(held)
        raise
    return held
