"""Runs commands in-process and watches everything that they would print or leave behind."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import attnexport.display.progress
from attnexport.cli import main

Run = Callable[..., "Result"]
Refuse = Callable[..., str]


@dataclass(frozen=True)
class Result:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """stdout with the tables' folds and borders taken out."""
        return " ".join(self.out.split())


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


_PROGRESS = re.compile(r"attnexport: [\w ,.:/-]+, (\d+ (h|min|s)\b ?)+\n")


def without_progress(stderr: str) -> str:
    """What a process of its own said, without the lines of one that took longer than ten seconds."""
    return _PROGRESS.sub("", stderr)


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command; its logging and warnings count as stderr, as they would in a terminal."""

    def invoke(*args: object) -> Result:
        log = _Log()
        # A machine that is busy must not make a quick command say how far it is.
        patch = pytest.MonkeyPatch()
        patch.setattr(attnexport.display.progress, "EVERY_S", 1e6)
        # The workers of pytest-xdist set it.
        patch.delenv("COLUMNS", raising=False)
        logging.getLogger().addHandler(log)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.resetwarnings()
                for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                    warnings.simplefilter("ignore", hidden)
                result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="attnexport")
        finally:
            patch.undo()
            logging.getLogger().removeHandler(log)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        noise = log.lines + [f"{warning.category.__name__}: {warning.message}" for warning in caught]
        return Result(result.exit_code, result.stdout, result.stderr + "".join(f"{line}\n" for line in noise))

    return invoke


@pytest.fixture
def refuse(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a command that must fail with exit code 2, one line and no new file; returns the line."""

    def invoke(*args: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        result = run(*args)
        captured = capfd.readouterr()
        assert (result.code, captured.err, captured.out) == (2, "", ""), result
        (line,) = result.err.splitlines()
        assert line.startswith("attnexport: ")
        assert not line.startswith("attnexport: unexpected ")
        assert line.strip() == line
        assert "Traceback" not in line
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return invoke
