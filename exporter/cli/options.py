"""Options that belong together reach a command as one data class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any


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
