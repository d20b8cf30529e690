"""A model in any of its forms becomes a program with names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import InputError
from attnexport.models.loading import LoadedModel, load_model, named_program
from attnexport.models.loading.programs import NamedProgram, export_named

Model = nn.Module | ExportedProgram | LoadedModel | Callable[..., Any] | str | os.PathLike[str]
"""In memory, as attnexport.load_model gives it, or the path of a .pt2."""


def named_source(
    model: Model, args: Sequence[Any] | Tensor | None, kwargs: Mapping[str, Any] | None, dynamic_shapes: Any
) -> NamedProgram:
    """The program of a model, exporting a module with these inputs.

    Raises:
        InputError: inputs for a program, which carries its own; none for a module; a model that cannot be used.
        ConversionError: the model's code does not allow the export, or fixes a dynamic dim.
    """
    loaded = load_model(model) if isinstance(model, (str, os.PathLike)) else model
    is_program = isinstance(loaded, ExportedProgram) or (isinstance(loaded, LoadedModel) and loaded.module is None)
    if not is_program and args is None and not kwargs:
        raise InputError("args: expected example inputs for a module, given None")
    for name, given in (("args", args), ("kwargs", kwargs), ("dynamic_shapes", dynamic_shapes)):
        if is_program and given is not None:
            raise InputError(f"{name}: expected None for a program, which carries its own, given {type(given)}")
    if isinstance(loaded, LoadedModel):
        return named_program(loaded, args, kwargs, dynamic_shapes)
    return export_named(loaded, args, kwargs, dynamic_shapes)
