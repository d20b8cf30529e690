"""Long work shows itself: a live line on a terminal, and a line every ten seconds in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TextIO

from attnexport.display.amounts import duration
from attnexport.display.cells import cells, clipped
from attnexport.display.terminal import Terminal, terminal_of

Progress = Callable[[str, float | None], None]
"""Is told what is being done, and the share of it that is done, 0 to 1; None where nobody knows."""

EVERY_S = 10.0
"""Seconds between two lines in a log."""

_LIVE_S = 0.2
_PATIENCE_S = 0.5
"""Seconds that work may take before a terminal shows it."""
_BAR = 24
_ERASE = "\r\x1b[K"

_following: list[_Follower] = []


def unheard(step: str, done: float | None) -> None:
    """A progress that nobody follows."""


@contextmanager
def progress(step: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """Follows long work, and yields what is to be told of its steps.

    On a terminal a line shows the step, how far it is and how long the work has taken, and is gone at the end.
    Elsewhere, and where ``TERM`` is dumb, a line says so every ten seconds, from the tenth on. Time passes in it
    while a step takes long, as far as what runs lets other threads of Python run.

    Args:
        step: what is done first.
        stream: that is written to. Default: None, stderr.
    """
    stream = sys.stderr if stream is None else stream
    if stream is None:
        yield unheard
        return
    follower = _Follower(step, stream, terminal_of(stream))
    _following.append(follower)
    try:
        yield follower.follow
    finally:
        _following.remove(follower)
        follower.end()


@contextmanager
def beside_progress() -> Iterator[None]:
    """Keeps the live line out of the way of what the block writes."""
    with _following[-1].away() if _following else nullcontext():
        yield


def erase_line() -> None:
    """Takes away a live line that a process which was killed has left on stderr."""
    if terminal_of(sys.stderr).live:
        with suppress(OSError, ValueError):
            sys.stderr.write(_ERASE)
            sys.stderr.flush()


class _Follower:
    """Shows the step that it was told of last, from a thread of its own."""

    def __init__(self, step: str, stream: TextIO, terminal: Terminal) -> None:
        self._stream, self._terminal = stream, terminal
        self._state: tuple[str, float | None] = (step, None)
        self._start = time.monotonic()
        self._ended = threading.Event()
        self._writing, self._drawn = threading.RLock(), False
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)
        self._thread.start()

    def follow(self, step: str, done: float | None) -> None:
        """A step, and the share of it that is done."""
        self._state = (step, done)

    def end(self) -> None:
        """Takes the live line away."""
        self._ended.set()
        with self.away():
            pass

    @contextmanager
    def away(self) -> Iterator[None]:
        """Takes the live line away until the next is due."""
        with self._writing:
            if self._drawn:
                self._write(_ERASE)
                self._drawn = False
            yield

    def _show(self) -> None:
        if self._terminal.live:
            self._repeat(_PATIENCE_S, _LIVE_S, lambda: _ERASE + self._live_line())
        else:
            self._repeat(EVERY_S, EVERY_S, lambda: f"attnexport: {', '.join(self._parts())}\n")

    def _repeat(self, first: float, every: float, line: Callable[[], str]) -> None:
        pause = first
        while not self._ended.wait(pause):
            pause = every
            with self._writing:
                if not self._ended.is_set():
                    self._write(line())
                    self._drawn = self._terminal.live

    def _parts(self) -> list[str]:
        """What, how far, how long."""
        step, done = self._state
        share = [] if done is None else [f"{done:.0%}".replace("%", " %")]
        return [self._terminal.text(step), *share, duration(time.monotonic() - self._start)]

    def _live_line(self) -> str:
        """As much of the parts as fits, a bar between them where there is room."""
        step, *rest = self._parts()
        done = self._state[1]
        if done is not None:
            filled = round(_BAR * min(max(done, 0.0), 1.0))
            rest.insert(0, self._terminal.text("█" * filled + "░" * (_BAR - filled)))
        room = self._terminal.width - 1 - sum(cells(part) + 2 for part in rest)
        if cells(step) > room and len(rest) == 3:
            room += cells(rest.pop(0)) + 2
        return "  ".join((clipped(step, room), *rest))

    def _write(self, text: str) -> None:
        """Writes; work goes on where nobody reads."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
