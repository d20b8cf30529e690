"""Worker processes under a watchdog, started anew when they die."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic

from tests.fuzz.worker import Outcome, work

LONGEST = 20.0
"""Seconds of a processor that a mutant may take."""

PATIENCE = 6
"""How many times as long it may take by the clock, where other programs have the processors."""

START = 240.0
"""Seconds that a worker may take to start."""


@dataclass(frozen=True)
class Task:
    """A mutant: a target by its position, the seed and its number."""

    target: int
    seed: int
    number: int


class Worker:
    """One process and the task that it has."""

    def __init__(self, corpus: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, corpus), daemon=True)
        self._process.start()
        theirs.close()
        self.task: Task | None = None
        self._used = 0.0
        self.deadline = monotonic() + START

    def give(self, task: Task) -> None:
        """Starts a task."""
        self.task, self.deadline = task, monotonic() + PATIENCE * LONGEST
        self._used = self._seconds()
        self.connection.send((task.target, task.seed, task.number))

    def hangs(self) -> bool:
        """Whether its task takes longer than it may."""
        return monotonic() > self.deadline or (self.task is not None and self._seconds() > self._used + LONGEST)

    def _seconds(self) -> float:
        """Of processors that the process has used."""
        try:
            facts = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int | None:
        """Ends the process; how it ended by itself, or None."""
        self._process.join(0.5)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        self.connection.close()
        return code


def outcomes(corpus: Path, tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Outcome | str]]:
    """Every task with what it did, or how its process ended."""
    left = deque(tasks)
    pool = [Worker(corpus) for _ in range(min(workers, len(left)))]
    try:
        while pool:
            ready = wait([worker.connection for worker in pool], timeout=0.5)
            for worker in list(pool):
                answer: Outcome | str | None
                if worker.connection in ready:
                    try:
                        answer = worker.connection.recv()
                    except (EOFError, OSError):
                        answer = f"the process ended with {worker.end()}"
                elif worker.hangs():
                    worker.end()
                    answer = f"it took more than {LONGEST:.0f} s"
                else:
                    continue
                if worker.task is not None:
                    assert answer is not None
                    yield worker.task, answer
                elif isinstance(answer, str):
                    raise RuntimeError(f"a worker did not start: {answer}")
                if isinstance(answer, str):
                    pool[pool.index(worker)] = worker = Worker(corpus)
                    if not left:
                        pool.remove(worker)
                        worker.end()
                elif left:
                    worker.give(left.popleft())
                else:
                    pool.remove(worker)
                    worker.end()
    finally:
        for worker in pool:
            worker.end()
