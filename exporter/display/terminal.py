"""What a stream can show: its width, whether colours and lines are drawn, and which characters it has."""

from __future__ import annotations

import codecs
import enum
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from attnexport.display.glyphs import IN_ASCII, encodable, without_signs
from attnexport.printable import printable

WIDTH_OF_A_LOG = 120
"""Columns where no terminal says how many there are."""

WIDTH_OF_A_TERMINAL = 80
"""Columns of a terminal that does not say how many it has."""

NARROWEST = 40


class Style(enum.Enum):
    """How a text is set apart where there are colours; none says what the text does not."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    GOOD = "32"
    BAD = "1;31"


@dataclass(frozen=True)
class Terminal:
    """What a stream can show.

    Attributes:
        width: columns.
        colored: whether it takes colours.
        live: whether a line can be written over.
        drawn: whether it has signs beyond letters, as ``─`` and ``…``.
        encoding: what its characters become.
    """

    width: int
    colored: bool = False
    live: bool = False
    drawn: bool = True
    encoding: str = "utf-8"

    def text(self, text: str) -> str:
        """A text as it is shown: nothing in it that a terminal obeys, and no character that it lacks."""
        shown = encodable(printable(text), self.encoding)
        return shown if self.drawn else without_signs(shown)

    def rule(self, width: int) -> str:
        """A horizontal line."""
        return self.text("─") * width

    def styled(self, text: str, style: Style) -> str:
        """The text in a style, where there are colours."""
        return f"\x1b[{style.value}m{text}\x1b[0m" if self.colored and text and style is not Style.PLAIN else text


def terminal_of(stream: TextIO | None, environment: Mapping[str, str] | None = None) -> Terminal:
    """What a stream can show.

    ``COLUMNS`` sets the width, for a terminal too; otherwise it is the terminal's, or 120 in a log. ``NO_COLOR`` takes
    colours away and ``FORCE_COLOR`` gives a log some. Where ``TERM`` is dumb, and where the encoding is not UTF-8,
    nothing is drawn.

    Args:
        stream: that is written to. Default: None is a stream that shows nothing.
        environment: variables. Default: None, the process's.
    """
    given = os.environ if environment is None else environment
    dumb = given.get("TERM") == "dumb"
    is_terminal = _is_terminal(stream)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    live = is_terminal and not dumb
    return Terminal(
        width=max(_columns(given) or _width_of(stream, is_terminal), NARROWEST),
        colored=not given.get("NO_COLOR") and not dumb and (live or bool(given.get("FORCE_COLOR"))),
        live=live,
        drawn=not dumb and _is_utf8(encoding),
        encoding=encoding,
    )


def never_refuse(*streams: TextIO | None) -> None:
    """Has streams write signs in ASCII, and other characters as escapes, where their encoding lacks them."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and not _is_utf8(stream.encoding):
            stream.reconfigure(errors=IN_ASCII)


def _is_terminal(stream: TextIO | None) -> bool:
    with suppress(ValueError, AttributeError):
        return stream is not None and stream.isatty()
    return False


def _columns(environment: Mapping[str, str]) -> int:
    given = environment.get("COLUMNS", "")
    return int(given) if given.isascii() and given.isdigit() else 0


def _width_of(stream: TextIO | None, is_terminal: bool) -> int:
    if stream is None or not is_terminal:
        return WIDTH_OF_A_LOG
    with suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(stream.fileno()).columns or WIDTH_OF_A_TERMINAL
    return WIDTH_OF_A_TERMINAL


def _is_utf8(encoding: str) -> bool:
    with suppress(LookupError):
        return codecs.lookup(encoding).name.startswith("utf-8")
    return False
