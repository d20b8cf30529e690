"""One process that tries mutants: each in folders of its own, with what it printed, its time and its memory."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from tests.fuzz.targets import TARGETS, Place, Target

MEMORY = 2 << 30
"""Bytes that a mutant may take."""

REFUSED_WHOLE = {"engine manifest, run"}
"""Targets that refuse the whole file too, for want of TensorRT."""


@dataclass(frozen=True)
class Outcome:
    """What a mutant did.

    Attributes:
        code: the exit code; None where an exception came out.
        out, err: what was printed.
        seconds: of processors that it took.
        peak: bytes that the process held at most.
        left: files below the output folder.
    """

    code: int | None
    out: str
    err: str
    seconds: float
    peak: int
    left: tuple[str, ...]


def mutant(corpus: Path, target: Target, seed: int, number: int) -> bytes:
    """The damaged file, the same for the same numbers."""
    random = Random(f"{seed} {target.name} {number}")
    return random.choice(target.mutators)(original(corpus, target), random)


def original(corpus: Path, target: Target) -> bytes:
    """The whole file."""
    path = corpus / target.seed
    (file,) = path.iterdir() if path.is_dir() else (path,)
    return file.read_bytes()


def work(requests: Connection, corpus: Path) -> None:
    """Takes (target, seed, number) and gives outcomes, until the other end closes."""
    sys.setrecursionlimit(1000)
    scratch = Path(tempfile.mkdtemp(prefix="attnexport-fuzz-"))
    os.chdir(scratch)
    _limit_memory()
    try:
        _warm_up(scratch, corpus)
        requests.send(None)
        while True:
            position, seed, number = requests.recv()
            target = TARGETS[position]
            requests.send(attempt(scratch, corpus, target, mutant(corpus, target, seed, number)))
    except (EOFError, OSError):
        pass
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _warm_up(scratch: Path, corpus: Path) -> None:
    """Loads what the commands load by giving them the whole files, which they must accept."""
    for target in TARGETS:
        outcome = attempt(scratch, corpus, target, original(corpus, target))
        if outcome.code and target.name not in REFUSED_WHOLE:
            raise RuntimeError(f"{target.name}: the whole file is refused: {outcome.err}")


def attempt(scratch: Path, corpus: Path, target: Target, data: bytes) -> Outcome:
    """Tries one file in this process."""
    place = Place(corpus, scratch / "work", scratch / "out")
    for folder in (place.work, place.out):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    _forget_peak()
    started, code = time.process_time(), None
    with _captured(scratch) as streams:
        try:
            code = target.run(place, data)
        except BaseException:
            traceback.print_exc()
    seconds = time.process_time() - started
    out, err = (path.read_text(encoding="utf-8", errors="backslashreplace") for path in streams)
    left = tuple(sorted(str(path.relative_to(place.out)) for path in place.out.rglob("*")))
    return Outcome(code, out, err, seconds, _peak(), left)


@contextlib.contextmanager
def _captured(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Both streams in files, what libraries write past Python too."""
    paths = folder / "stdout", folder / "stderr"
    kept = [os.dup(number) for number in (1, 2)]
    for path, number in zip(paths, (1, 2), strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    try:
        yield paths
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    return _status("VmHWM")


def _limit_memory() -> None:
    """Address space for what is loaded, and MEMORY more."""
    limit = _status("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
