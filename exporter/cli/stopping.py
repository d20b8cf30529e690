"""Ctrl-C and the signals that ask a command to end: it unwinds, says one line and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from attnexport.files.staging import remove_open

# Windows has no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_SAME_REQUEST_S = 1.0


class Terminated(BaseException):
    """Raised where a command is when SIGTERM or SIGHUP arrives, as KeyboardInterrupt is for SIGINT.

    Attributes:
        code: the exit code, 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Lets the signals raise in the block; those that somebody else handles, or that are ignored, stay as they are.

    What a terminal and a parent both send is one request, so that it does not disturb its own cleaning up. A request
    that comes where Python drops exceptions, as in a destructor, is made again; and staging folders are gone at the end
    though a later signal interrupted their removal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    ours = {number: old for number, old in handlers.items() if old in (signal.SIG_DFL, signal.default_int_handler)}
    raise_once, ask_again, hook = _RaiseOnce(), _AskAgain(sys.unraisablehook), sys.unraisablehook
    for number in ours:
        signal.signal(number, raise_once)
    sys.unraisablehook = ask_again
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)
        remove_open()
        sys.unraisablehook = hook
        ask_again.cancel()
        for number, old in ours.items():
            signal.signal(number, old)


class _RaiseOnce:
    """A handler; a second signal within a second of the first does nothing."""

    def __init__(self) -> None:
        self._last = -_SAME_REQUEST_S

    def __call__(self, number: int, _: FrameType | None) -> None:
        before, self._last = self._last, time.monotonic()
        if self._last - before < _SAME_REQUEST_S:
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(number)


class _AskAgain:
    """Sends a signal again whose exception Python dropped; others are shown as ever."""

    def __init__(self, shown: Callable[[Any], Any]) -> None:
        self._shown = shown
        self._later: threading.Timer | None = None

    def __call__(self, dropped: Any) -> None:
        if isinstance(dropped.exc_value, KeyboardInterrupt):
            number: int = signal.SIGINT
        elif isinstance(dropped.exc_value, Terminated):
            number = dropped.exc_value.code - 128
        else:
            self._shown(dropped)
            return
        self._later = threading.Timer(2 * _SAME_REQUEST_S, os.kill, (os.getpid(), number))
        self._later.daemon = True
        self._later.start()

    def cancel(self) -> None:
        """Sends no more."""
        if self._later is not None:
            self._later.cancel()
