"""Long work says what it does, how far it is and how long it has taken; short work says nothing."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import time
from collections.abc import Callable

import pytest

import attnexport.display.progress
from attnexport.display.amounts import duration
from attnexport.display.progress import beside_progress, progress


@pytest.fixture
def every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come every 20 ms, in place of every ten seconds."""
    for name in ("EVERY_S", "_LIVE_S", "_PATIENCE_S"):
        monkeypatch.setattr(attnexport.display.progress, name, 0.02)


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def on_a_terminal(work: Callable[[Callable[[], str]], None], width: int = 80) -> str:
    """What a terminal gets while ``work`` runs, which is given what it got so far."""
    leader, follower = pty.openpty()
    os.set_blocking(leader, False)
    shown = ""

    def seen() -> str:
        nonlocal shown
        with contextlib.suppress(BlockingIOError):
            shown += os.read(leader, 1 << 16).decode()
        return shown

    with os.fdopen(follower, "w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setattr("sys.stderr", stream)
        work(seen)
        stream.flush()
        seen()
    os.close(leader)
    return shown


def test_a_log_gets_a_line_with_what_how_far_and_how_long(every_moment):
    log = io.StringIO()
    with progress("loading", log) as follow:
        wait_for(lambda: "loading" in log.getvalue())
        follow("checking krause.onnx on normal-0", 0.43)
        wait_for(lambda: "43 %" in log.getvalue())
    lines = log.getvalue().splitlines()
    assert re.fullmatch(r"attnexport: loading, \d+ s", lines[0])
    assert re.fullmatch(r"attnexport: checking krause.onnx on normal-0, 43 %, \d+ s", lines[-1])
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_the_first_line_comes_after_ten_seconds():
    assert attnexport.display.progress.EVERY_S == 10.0
    log = io.StringIO()
    with progress("loading", log):
        time.sleep(0.1)
    assert log.getvalue() == ""


def test_nothing_is_written_after_the_end(every_moment):
    log = io.StringIO()
    with progress("loading", log):
        pass
    before = log.getvalue()
    time.sleep(0.1)
    assert log.getvalue() == before


def test_a_step_is_shown_as_a_name_is(every_moment):
    log = io.StringIO()
    with progress("reading a\x1b[2J\nb", log):
        wait_for(lambda: bool(log.getvalue()))
    assert log.getvalue().splitlines()[0] == r"attnexport: reading a\x1b[2J\nb, 0 s"


def test_a_terminal_has_one_line_that_is_written_over_and_gone_at_the_end(every_moment):
    def work(seen: Callable[[], str]) -> None:
        with progress("loading") as follow:
            follow("checking", 0.5)
            wait_for(lambda: seen().count("checking") > 2)

    shown = on_a_terminal(work)
    assert "\n" not in shown
    assert re.search(r"checking  █{12}░{12}  50 %  0 s", shown)
    assert shown.endswith("\r\x1b[K")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_long_step_keeps_to_the_line(every_moment, width: int):
    def work(seen: Callable[[], str]) -> None:
        with progress("s" * 200) as follow:
            follow("出力" * 100, 0.5)
            wait_for(lambda: "50 %" in seen())

    from attnexport.display.cells import cells

    shown = [line.replace("\x1b[K", "") for line in on_a_terminal(work, width).split("\r")]
    assert max(map(cells, shown)) in (width - 1, width - 2)
    assert any(line.endswith("50 %  0 s") for line in shown)


def test_what_is_said_meanwhile_has_its_own_line(every_moment):
    import sys

    def work(seen: Callable[[], str]) -> None:
        with progress("checking"):
            wait_for(lambda: "checking" in seen())
            with beside_progress():
                sys.stderr.write("a warning\n")
                sys.stderr.flush()
            before = seen().count("checking")
            wait_for(lambda: seen().count("checking") > before)

    assert "\r\x1b[Ka warning\r\n" in on_a_terminal(work)


def test_a_dumb_terminal_gets_lines(every_moment, monkeypatch: pytest.MonkeyPatch):
    leader, follower = pty.openpty()
    monkeypatch.setenv("TERM", "dumb")
    with os.fdopen(follower, "w") as stream, progress("checking", stream):
        assert b"attnexport: checking, 0 s\r\n" in os.read(leader, 4096)
    os.close(leader)


def test_work_goes_on_where_stderr_is_closed(every_moment):
    closed = io.StringIO()
    closed.close()
    with progress("checking", closed):
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.9, "59 s"), (80, "1 min 20 s"), (3600, "1 h 0 min"), (7322, "2 h 2 min")]
)
def test_durations(seconds: float, said: str):
    assert duration(seconds) == said
