"""A run of the fuzzer: which mutants, and what counts as clean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.pool import Task, outcomes
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.worker import MEMORY, Outcome, mutant


@dataclass(frozen=True)
class Finding:
    """A mutant that was not handled cleanly.

    Attributes:
        task: which.
        why: in words.
        file: the mutant, to be tried again.
    """

    task: Task
    why: str
    file: Path

    def __str__(self) -> str:
        name = TARGETS[self.task.target].name
        return f"{name}, seed {self.task.seed}, number {self.task.number}: {self.why}; {self.file}"


@dataclass
class Row:
    """What the mutants of one target did."""

    mutants: int = 0
    passed: int = 0
    refused: int = 0
    findings: int = 0
    longest: float = 0.0
    peak: int = 0


@dataclass
class Result:
    """A whole run."""

    rows: dict[str, Row] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def fuzz(
    corpus: Path,
    mutants: int,
    keep: Path,
    *,
    seed: int = 0,
    workers: int = 2,
    only: str = "",
    progress: Callable[[Finding | None], None] | None = None,
) -> Result:
    """Tries mutants of every target by its share.

    Args:
        corpus: the whole files.
        mutants: how many.
        keep: a folder for mutants that were not handled cleanly.
        seed: another gives other mutants. Default: 0.
        workers: processes. Default: 2.
        only: targets whose name holds it. Default: all.
        progress: called after each with what was found. Default: None.
    """
    result = Result({target.name: Row() for target in TARGETS if only in target.name})
    for task, outcome in outcomes(corpus, _tasks(mutants, seed, only), workers):
        target = TARGETS[task.target]
        why = outcome if isinstance(outcome, str) else fault(target, outcome)
        _count(result.rows[target.name], outcome, why)
        finding = _kept(corpus, task, why, keep) if why else None
        if finding is not None:
            result.findings.append(finding)
        if progress is not None:
            progress(finding)
    return result


def _tasks(mutants: int, seed: int, only: str) -> Sequence[Task]:
    """In turn, so that a worker does not do all of one kind."""
    chosen = [(position, target) for position, target in enumerate(TARGETS) if only in target.name]
    total = sum(target.share for _, target in chosen)
    counts = {position: max(1, round(mutants * target.share / total)) for position, target in chosen}
    tasks = [Task(position, seed, number) for position, count in counts.items() for number in range(count)]
    return sorted(tasks, key=lambda task: ((task.number + 0.5) / counts[task.target], task.target))


def fault(target: Target, outcome: Outcome) -> str:
    """What is not clean about an outcome, or empty."""
    lines = outcome.err.splitlines()
    allowed = (0, 1, 2) if target.verdict else (0, 2)
    if outcome.code not in allowed:
        return f"exit code {outcome.code}: {' / '.join(lines[-3:])[:400]}"
    if "Traceback" in outcome.out + outcome.err:
        return f"a traceback: {' / '.join(lines[-3:])[:400]}"
    if outcome.code == 2 and (len(lines) != 1 or not lines[0].startswith(("attnexport: ", "compare.py: "))):
        return f"exit code 2 with {len(lines)} lines: {' / '.join(lines)[:400]}"
    if outcome.code == 2 and (outcome.out or lines[0].startswith("attnexport: unexpected ")):
        return f"exit code 2 that was not meant: {lines[0][:400]} {outcome.out[:200]}"
    if outcome.code == 2 and outcome.left:
        return f"left {', '.join(outcome.left)} behind"
    if any(not char.isprintable() and char != "\n" for char in outcome.out + outcome.err):
        return f"printed what a terminal obeys: {outcome.out + outcome.err!r:.400}"
    if outcome.peak > MEMORY:
        return f"took {outcome.peak >> 20} MiB"
    return ""


def _count(row: Row, outcome: Outcome | str, why: str) -> None:
    row.mutants += 1
    row.findings += bool(why)
    if not isinstance(outcome, str):
        row.passed += outcome.code in (0, 1)
        row.refused += outcome.code == 2
        row.longest = max(row.longest, outcome.seconds)
        row.peak = max(row.peak, outcome.peak)


def _kept(corpus: Path, task: Task, why: str, keep: Path) -> Finding:
    target = TARGETS[task.target]
    keep.mkdir(parents=True, exist_ok=True)
    name = "".join(char if char.isalnum() else "-" for char in target.name).strip("-")
    file = keep / f"{name}-{task.seed}-{task.number}{Path(target.seed).suffix}"
    file.write_bytes(mutant(corpus, target, task.seed, task.number))
    return Finding(task, why, file)
