"""Writes what people read to a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Protocol, TextIO

from attnexport.display.tables import Table
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
        stream: the stream.
        terminal: what it can show.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.terminal = terminal_of(self.stream)
        self._written: type[object] | None = None

    def print(self, shown: str | Lines) -> None:
        """Writes a table, facts, or a sentence that wraps between words; a blank line is before a table."""
        if isinstance(shown, str):
            lines = iter(wrapped(self.terminal.text(shown), self.terminal.width, indent=_HANGING))
        else:
            lines = shown.lines(self.terminal)
        if self._written is not None and isinstance(shown, Table):
            self._write("\n")
        self._write("".join(f"{line}\n" for line in lines))
        self._written = type(shown)

    def conclude(self, verdict: Verdict) -> None:
        """Writes a verdict, on one line whatever the width; a blank line is before the first."""
        if self._written not in (None, Verdict):
            self._write("\n")
        self._write(f"{verdict.line(self.terminal)}\n")
        self._written = Verdict

    def _write(self, text: str) -> None:
        """Writes, and does nothing from then on where nobody reads any more: a command's exit code still counts."""
        if self.stream is None:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
