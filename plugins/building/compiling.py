"""Runs compilers side by side; the first error stops them all."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.display.progress import Progress
from attnexport.errors import AttnexportError
from attnexport.files.outputs import replacing
from attnexport.files.staging import work_folder

_ERROR = r"\berror\b|undefined reference|no such file"
"""The last is what nvcc says of the host's compiler when there is none."""

_WAIT_S = 0.5
"""A signal that comes just before a wait is seen when the wait is over."""


class CompileError(AttnexportError):
    """A compiler or linker that failed, with the file and its first error."""


@dataclass(frozen=True)
class Step:
    """One run of a compiler or linker.

    Attributes:
        name: what is shown.
        command: the arguments.
    """

    name: str
    command: Sequence[str]


@dataclass
class Compiler:
    """Runs steps and keeps their log.

    Attributes:
        progress: told which steps run, and the share of those given to :meth:`run` that is done.
        jobs: steps at a time.
    """

    progress: Progress
    jobs: int
    _log: list[str] = field(default_factory=list)
    _running: dict[subprocess.Popen[str], str] = field(default_factory=dict)
    _given: int = 0
    _done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    @property
    def log(self) -> str:
        """The commands so far and what they printed."""
        return "\n".join(self._log)

    def run(self, steps: Sequence[Step]) -> None:
        """Runs the steps, in any order.

        Raises:
            CompileError: the first that failed; the others are stopped.
        """
        self._given, self._done = len(steps), 0
        with ThreadPoolExecutor(max_workers=self.jobs) as pool:
            try:
                pending = {pool.submit(self._run, step) for step in steps}
                while pending:
                    done, pending = wait(pending, _WAIT_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise

    def _run(self, step: Step) -> None:
        with self._lock:
            if self._stopped:
                return
            # Of its own session, so that stopping it stops the programs it runs.
            process = subprocess.Popen(
                step.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running[process] = step.name
            self._tell()
        output, _ = process.communicate()
        with self._lock:
            del self._running[process]
            self._log.append(f"$ {shlex.join(step.command)}\n{output}")
            if self._stopped:
                return
        if process.returncode != 0:
            raise CompileError(f"{step.name}: {_first_error(output, process.returncode)}")
        with self._lock:
            self._done += 1
            self._tell()

    def _tell(self) -> None:
        """Says what runs and how far that is."""
        self.progress(f"compiling {', '.join(self._running.values())}".rstrip(), self._done / self._given)

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)


def _first_error(output: str, code: int) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(_ERROR, line, re.IGNORECASE)]
    said = (errors or lines[-1:] or ["no message"])[0]
    if code < 0:
        return f"stopped by signal {-code}: {said}"
    return re.sub(r"(^|[ (])/[^ :()]*/", r"\1", said)


def default_jobs() -> int:
    """One job a processor."""
    return os.cpu_count() or 1


def object_name(source: Path) -> str:
    """Name of a source's object file; sources of one name lie in folders of other names."""
    return f"{source.parent.name}-{source.name}.o"


@contextlib.contextmanager
def compiling_into(folder: Path, main: str, log_name: str, compiler: Compiler) -> Iterator[tuple[Path, Path]]:
    """A folder to work in, and a staging folder whose files move into ``folder`` when the block succeeds.

    The folder is made where its parent exists, and is gone where it was made for nothing. What the compilers said is
    left in it under ``log_name``, after a failure too.

    Raises:
        CompileError: a compiler failed; names the log.
    """
    with _made(folder), work_folder() as work, replacing(folder / main) as staging:
        try:
            yield work, staging
        except CompileError as error:
            (folder / log_name).write_text(compiler.log)
            raise CompileError(f"{error}; the full log is {folder / log_name}") from None
        (staging / log_name).write_text(compiler.log)


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder that is there; one that was not, and is empty when the block fails, is removed."""
    existed = folder.is_dir()
    folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
