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
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from attnexport.errors import AttnexportError
from attnexport.printable import printable, printable_line

P = ParamSpec("P")
R = TypeVar("R")

debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error, and what libraries log.")


class PlainConsole(Console):
    """A console to which every text is a name from a file: no markup, and nothing in it that a terminal obeys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """What rich makes of every text that it is given, in tables too."""
        return super().render_str(printable(text), **options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """A line about what is being done, on a terminal."""
        return super().status(Text(printable(status)) if isinstance(status, str) else status, **options)


def out() -> PlainConsole:
    """The console for results, 140 columns where stdout is no terminal."""
    return PlainConsole(width=None if sys.stdout.isatty() else 140)


def summary() -> Table:
    """A table of what is what, without headings."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def titled(title: str, *headings: str) -> Table:
    """A table under a title, whose cells fold where they are too wide."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def show_notes(notes: Iterable[str]) -> None:
    """What a user should know, a line each."""
    for note in notes:
        out().print(f"note: {note}")


def say(message: str) -> None:
    """One line on stderr."""
    click.echo(f"attnexport: {printable_line(message)}", err=True)


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
