"""An nn.Module from a factory in the user's code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from torch import nn

from attnexport.errors import InputError, did_you_mean, told
from attnexport.messages import option
from attnexport.models.loading.given import split_factory
from attnexport.models.loading.unwrapping import inner


@contextlib.contextmanager
def current_folder_importable() -> Iterator[None]:
    """Puts the current folder first on the path of imports."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def module_from_factory(factory: str) -> tuple[nn.Module, str | None]:
    """Import ``pkg.module:name`` with the current folder on the path and call it without arguments.

    Returns:
        The module in eval mode, without the wrappers that training puts around it, and the file that defines the
        factory (None when there is none).

    Raises:
        InputError: the text has another form, the import or the call fails, or it returns no nn.Module.
    """
    module_name, attribute = split_factory(factory)
    with current_folder_importable():
        try:
            source = importlib.import_module(module_name)
        except Exception as error:
            raise InputError(f"{option('--model', factory)}: cannot import {module_name}: {told(error)}") from None
        build: Any = source
        for part in attribute.split("."):
            if not hasattr(build, part):
                near = did_you_mean(part, vars(build) if hasattr(build, "__dict__") else ())
                raise InputError(f"{option('--model', factory)}: {module_name} has no {attribute}{near}")
            build = getattr(build, part)
        if isinstance(build, nn.Module) or not callable(build):
            raise InputError(
                f"{option('--model', factory)}: expected a function without arguments that returns an nn.Module, "
                f"given a {type(build).__name__}"
            )
        try:
            module = build()
        except Exception as error:
            raise InputError(f"{option('--model', factory)}: {attribute}() failed: {told(error)}") from None
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{option('--model', factory)}: expected an nn.Module from {attribute}(), given a {type(module).__name__}"
        )
    return inner(module).eval(), getattr(source, "__file__", None)
