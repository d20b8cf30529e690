"""Printing, and errors as one line on stderr with exit code 2."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

import click

from attnexport.cli.options import STDOUT_TAKEN
from attnexport.display.display import Display
from attnexport.display.progress import beside_progress
from attnexport.display.terminal import terminal_of
from attnexport.errors import AttnexportError
from attnexport.printable import printable, printable_line

P = ParamSpec("P")
R = TypeVar("R")

debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error, and what libraries log.")


_displays: list[Display] = []


def out() -> Display:
    """Where results go: stdout, or stderr where a report has stdout for itself."""
    context = click.get_current_context(silent=True)
    taken = context is not None and STDOUT_TAKEN in context.meta
    stream = sys.stderr if taken else sys.stdout
    if not _displays or _displays[-1].stream is not stream:
        _displays[:] = [Display(stream)]
    return _displays[-1]


def show_notes(notes: Iterable[str]) -> None:
    """What a user should know, a line each."""
    for note in notes:
        out().print(f"note: {note}")


def say(message: str) -> None:
    """One line on stderr."""
    with beside_progress():
        click.echo(terminal_of(sys.stderr).text(f"attnexport: {printable_line(message)}"), err=True)


def report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turns errors a user can cause into one line and exit code 2; --debug shows the traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        debug = bool(kwargs.pop("debug", False))
        try:
            with contextlib.nullcontext() if debug else _silent_libraries():
                return command(*args, **kwargs)
        except click.ClickException:
            raise
        except Exception as error:
            if debug:
                _print_traceback()
            message = printable_line(str(error)) or type(error).__name__
            if not isinstance(error, (AttnexportError, ValueError, OSError)):
                message = f"unexpected {type(error).__name__}: {message} (--debug shows where)"
            say(message)
            raise SystemExit(2) from None

    return wrapped


def _print_traceback() -> None:
    for line in traceback.format_exc().splitlines():
        click.echo(printable(line), err=True)


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keeps what libraries log and warn off stderr, which is for our one line; --debug and TORCH_LOGS show it."""
    before = logging.root.manager.disable
    logging.disable(before if os.environ.get("TORCH_LOGS") else logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
