"""The errors a user can cause, each one line that names the thing, what was expected and what was given."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from attnexport.printable import printable_line

BRIEF = 300
"""Characters of what another library says that a message repeats."""


class AttnexportError(Exception):
    """Base of every error that the command line reports in one line with exit code 2.

    Its text is one line in which names from files are escaped, wherever it is shown.
    """

    def __str__(self) -> str:
        return printable_line(super().__str__())


class InputError(AttnexportError):
    """A file, option or tensor that cannot be used as given."""


class ConversionError(AttnexportError):
    """A model that cannot become a correct ONNX file."""


class BackendError(AttnexportError):
    """A model file that a backend cannot load or run."""


def shortlist(names: Sequence[str]) -> str:
    """The first three names and how many more there are, for a message."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """What to end a message with that refuses a name: ``; did you mean batch?``, or nothing where none is near."""
    near = nearest(given, known)
    return "" if near is None else f"; did you mean {near}?"


def nearest(wanted: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another, letters' cases aside; None where none is."""
    import difflib

    lowered = {name.lower(): name for name in reversed(list(known))}
    found = difflib.get_close_matches(wanted.lower(), lowered, n=1)
    return lowered[found[0]] if found else None


def first_line(error: BaseException | str, longest: int | None = None) -> str:
    """The first line of a message that says something, or the name of the error's type.

    Args:
        error: an error, or its message.
        longest: how many characters of it. Default: None, all.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip()[:longest]


def told(error: BaseException) -> str:
    """An exception of the user's code in one line: its type, what it says, and the innermost place in that code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((sys.prefix, sys.base_prefix, "<"))]
    own = [frame for frame in own if not Path(frame.filename).is_relative_to(Path(__file__).parent)]
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {first_line(error, BRIEF)}{place}"


def ending(code: int, written: str) -> str:
    """How a process ended, with the last line it wrote: ``by SIGKILL``, ``with code 1: ImportError: …``."""
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    lines = written.strip().splitlines()
    return f"{how}: {lines[-1].strip()}" if lines else how
