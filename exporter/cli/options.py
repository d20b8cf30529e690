"""Options that belong together: added to a command at once, and given to it as one data class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


def adding(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Adds options to a command, whose help shows them in this order."""

    def decorate(command: F) -> F:
        return functools.reduce(lambda given, option: option(given), reversed(options), command)

    return decorate


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
