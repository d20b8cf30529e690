"""The errors a user can cause, each one line that names the thing, what was expected and what was given."""

from __future__ import annotations

from collections.abc import Sequence

from attnexport.printable import printable_line


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


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
