"""Options that belong together: added to a command at once, and given to it as one data class."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from attnexport.errors import InputError, did_you_mean
from attnexport.files.dtype_names import precision_called
from attnexport.files.kinds import FileKind, check_kind
from attnexport.files.outputs import STDOUT

F = TypeVar("F", bound=Callable[..., Any])

STDOUT_TAKEN = "attnexport.stdout"
"""In a context's meta: a report goes to standard output, and nothing else may."""

PATH = click.Path(path_type=Path)


class OutputPath(click.Path):
    """A file or folder that a command writes, through ``attnexport.files.outputs``.

    Args:
        kind: what it is; a name of another kind of file is refused before anything else is done.
        report: a text that may also go to standard output, which ``-`` says. Default: False.
    """

    def __init__(self, kind: FileKind, *, report: bool = False) -> None:
        super().__init__(path_type=Path)
        self._kind, self._report = kind, report

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path.

        Raises:
            click.BadParameter: a name of another kind of file, or ``-`` for what is no report.
        """
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path == STDOUT:
            if not self._report:
                self.fail(f"expected the name of {self._kind.what}, given - for standard output", param, ctx)
            if ctx is not None:
                ctx.meta[STDOUT_TAKEN] = True
            return path
        try:
            check_kind(path, self._kind)
        except InputError as error:
            self.fail(str(error), param, ctx)
        return path


class Choice(click.Choice[str]):
    """One of some names; a near one is told where another is given."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What click says, and which name may have been meant."""
        said = super().get_invalid_choice_message(value, ctx)
        return f"{said.removesuffix('.')}{did_you_mean(str(value), self.choices)}"


class Precision(Choice):
    """One of some precisions, by any of its names: fp16, half and float16 are one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Its name among the choices."""
        return super().convert(precision_called(value) or value, param, ctx)


class Group(click.Group):
    """Commands under one name; a near one is told where another is given."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first argument."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {args[0]!r}{did_you_mean(args[0], names)}", ctx)
        return super().resolve_command(ctx, args)


def adding(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Adds options to a command, whose help shows them in this order."""

    def decorate(command: F) -> F:
        return functools.reduce(lambda given, option: option(given), reversed(options), command)

    return decorate


def refuse_unread(names: Sequence[str], *, expected: str, given: str) -> None:
    """Refuses options of the command line that say how data is run, where none is.

    Args:
        names: of the command's parameters.
        expected: the option that gives the data.
        given: what is in place of it.

    Raises:
        InputError: naming the first that is on the command line, its default too.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"--{name}: expected {expected} to run, given {given}")


def refuse_two_caches(cache: Path | None, no_cache: bool) -> None:
    """Refuses ``--cache`` beside ``--no-cache``.

    Raises:
        InputError: both are given.
    """
    if cache is not None and no_cache:
        raise InputError("--cache: expected in place of --no-cache, given both")


def grouped(**groups: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Collects the parameters of a command that are fields of a data class, and gives the command that in their place.

    Args:
        groups: by name of the command's parameter, a data class whose fields are called like click's parameters.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def collected(**given: Any) -> Any:
            for name, group in groups.items():
                given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
            return command(**given)

        return collected

    return decorate
