"""Runs the rest of a command in a child, and tells in one line how that ended."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from attnexport.display.progress import erase_line
from attnexport.errors import InputError
from attnexport.files.outputs import hold_back, replacing
from attnexport.files.staging import staging_folder
from attnexport.sandbox.child import give_up
from attnexport.sandbox.kernel import adopt_orphans
from attnexport.sandbox.limits import Limits, memory_of
from attnexport.sandbox.places import Places

_PAUSE_S = 0.02
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Command:
    """What runs in the child.

    Attributes:
        reading: the file that holds a stranger's program, as messages name it.
        outputs: files or folders that it writes, whole or not at all.
        places: what else it may read and write.
        limits: what it may use.
        programs: whether it may start programs.
    """

    reading: Path
    outputs: Sequence[Path]
    places: Places
    limits: Limits
    programs: bool = False


def run_in_child(command: Command, body: Callable[[], int]) -> int:
    """The exit code of ``body``, which runs in a child: a fork, so that both are the same command from here on.

    The child writes its outputs into staging folders of this process, which moves them to their places when the
    child has ended by itself. It shares the terminal and the streams. Nothing of it is left when it is killed.

    Args:
        command: what the child is allowed.
        body: the rest; in the child it may have any effect on the process.

    Raises:
        InputError: a signal or a limit ended the child.
        OSError: there can be no child.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(staging_folder(Path(tempfile.gettempdir()), "attnexport"))
        held = {path: stack.enter_context(_held(path)) for path in command.outputs if _can_be_written(path)}
        given = command.places
        places = replace(given, writable=(*given.writable, *held.values()), scratch=scratch)
        _flush()
        adopt_orphans()
        known = _children()
        parent = os.getpid()
        child = _fork()
        if child == 0:
            _be_the_child(replace(command, places=places), body, held, parent)
        try:
            return _watch(child, command)
        finally:
            _end_orphans(known)


def _fork() -> int:
    """A fork whose child leaves it to the parent to answer Ctrl-C and the like."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        child = os.fork()
        if child == 0:
            for number in _ENDING:
                signal.signal(number, signal.SIG_IGN)
        return child
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _be_the_child(command: Command, body: Callable[[], int], held: Mapping[Path, Path], parent: int) -> NoReturn:
    code = 2
    try:
        give_up(command.places, command.limits, parent, programs=command.programs)
        tempfile.tempdir = str(command.places.scratch)
        os.environ.update(TMPDIR=tempfile.tempdir, ORT_DISABLE_TELEMETRY="1")
        for path, folder in held.items():
            hold_back(path, folder)
        code = body()
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    """Writes what is buffered, so that it is written once; a stream may be closed, or its reader gone."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


@contextmanager
def _held(path: Path) -> Iterator[Path]:
    """A staging folder for one output, of which nothing else leaves it."""
    with replacing(path) as staging:
        yield staging
        for entry in staging.iterdir():
            named = entry.name == path.name or entry.name.startswith(f"{path.name}.")
            if entry.is_dir() and not entry.is_symlink() and not named:
                shutil.rmtree(entry)
            elif entry.is_symlink() or not named:
                entry.unlink()


def _can_be_written(path: Path) -> bool:
    """False for what the command itself will complain of."""
    return path.parent.is_dir() and not path.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)


def _watch(child: int, command: Command) -> int:
    """The exit code of a child that ended by itself; no child is left, whatever happens."""
    limits, subject = command.limits, f"while reading {command.reading}"
    ended = False
    try:
        while not ended:
            time.sleep(_PAUSE_S)
            if memory_of(child) > limits.memory:
                most = f"{limits.memory / 2**30:.3g} GiB of memory"
                raise InputError(f"used more than {most} {subject}; --max-memory allows more")
            number, status, used = os.wait4(child, os.WNOHANG)
            ended = number == child
    finally:
        if not ended:
            _kill(child)
            erase_line()
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    erase_line()
    if -code == signal.SIGXCPU or used.ru_utime + used.ru_stime >= limits.seconds:
        raise InputError(f"used more than {limits.seconds} s of processor time {subject}; --max-cpu-time allows more")
    why = "the system does so when memory runs out" if -code == signal.SIGKILL else "its program crashed"
    raise InputError(f"killed by {signal.Signals(-code).name} {subject}: {why}")


def _children() -> set[int]:
    """Those of this thread, where the kernel tells."""
    with suppress(OSError):
        listed = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
        return set(map(int, listed.split()))
    return set()


def _end_orphans(known: set[int]) -> None:
    """Kills what a child left running."""
    while orphans := _children() - known:
        for orphan in orphans:
            _kill(orphan)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
