"""Writes what people read to a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Protocol, TextIO

from attnexport.display.terminal import Terminal, terminal_of
from attnexport.display.verdicts import Verdict
from attnexport.display.wrapping import wrapped

_HANGING = 2


class Lines(Protocol):
    """Something that has lines on a terminal, as a table."""

    def lines(self, terminal: Terminal) -> Iterator[str]:
        """The lines, which fit its width."""


class Display:
    """A stream and what it can show.

    Args:
        stream: Default: None, stdout as it is now.

    Attributes:
        terminal: what it can show.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.terminal = terminal_of(self._stream)

    def print(self, shown: str | Lines) -> None:
        """Writes a table, facts, or a sentence that wraps between words."""
        if isinstance(shown, str):
            lines = iter(wrapped(self.terminal.text(shown), self.terminal.width, indent=_HANGING))
        else:
            lines = shown.lines(self.terminal)
        self._write("".join(f"{line}\n" for line in lines))

    def conclude(self, verdict: Verdict) -> None:
        """Writes a verdict, on one line whatever the width."""
        self._write(f"{verdict.line(self.terminal)}\n")

    def _write(self, text: str) -> None:
        """Writes, and does nothing from then on where nobody reads any more: a command's exit code still counts."""
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
