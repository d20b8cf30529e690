"""A model in any of its forms becomes a Model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import ConversionError, InputError
from attnexport.models.example_inputs import bind_inputs, check_inputs
from attnexport.models.loading.programs import export_model
from attnexport.models.loading.reading import read_source
from attnexport.models.model import Model
from attnexport.variants.checks import describe

ModelSource = nn.Module | ExportedProgram | Model | Callable[..., Any] | str | os.PathLike[str]
"""In memory, as attnexport.load_model gives it, or the path of a .pt2."""


def load_model(
    path: str | os.PathLike[str] | None,
    args: Sequence[Any] | Tensor | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Tensor] | None = None,
    dynamic_shapes: Any = None,
    factory: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    weights_key: str | None = None,
    strip_prefix: str | None = None,
    trust_pickle: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Model:
    """Loads a MODEL without running code from it, as far as the audit of a .pt2 sees.

    It is read in this process, which may do all that its user may, and so is what runs the program later. The command
    line reads a .pt2 in a child that can harm little: use that for files of people whom you do not trust.

    Args:
        path: a .pt2 (audited, then read), a .pt, .pth or .safetensors (a state dict or a checkpoint, which needs
            ``factory``; a pickled nn.Module only with trust_pickle), or None when ``factory`` is given. The content
            decides, not the suffix.
        args: example inputs of a module, a tensor alone for a tuple of one. Default: None, for a .pt2, which carries
            its own.
        kwargs: example keyword inputs. Default: None.
        inputs: example tensors by the names of forward's arguments, in place of args and kwargs; those of a .pt2 are
            checked. Default: None.
        dynamic_shapes: of a module, as convert takes them. Default: None, all static.
        factory: ``pkg.module:name``, imported with the current folder on the path and called without
            arguments. Default: None.
        weights: a .pt, .pth or .safetensors file for the factory's module. Default: None.
        weights_key: where in a checkpoint they are, as ``ema`` or ``model.state_dict``. Default: None, wherever names
            and shapes are the module's, which must be one place.
        strip_prefix: what to take off their names, as ``module.``; weights without it are left out. Default: None,
            what must be taken off all of them.
        trust_pickle: unpickle objects other than tensors, which can run any code. Default: False.
        warn: is told the risk before anything is unpickled. Default: None, warnings.warn.

    Raises:
        InputError: one line that names the file, what was expected and what was given.
        ConversionError: a module whose code does not allow the export, or fixes a dynamic dim.
    """
    source = read_source(
        path,
        factory=factory,
        weights=weights,
        weights_key=weights_key,
        strip_prefix=strip_prefix,
        trust_pickle=trust_pickle,
        warn=warn,
        dims_given=dynamic_shapes is not None,
    )
    if isinstance(source, Model):
        _refuse_for_programs(args, kwargs, None)
        if inputs:
            check_inputs(source, inputs)
        return source
    if inputs is None:
        _require_inputs(args, kwargs)
        model = export_model(source.module, args, kwargs, dynamic_shapes)
    else:
        model = _exported(source.module, inputs, dynamic_shapes)
    return replace(model, path=source.path, sha256=source.sha256, notes=(*model.notes, *source.notes))


def _exported(module: nn.Module, inputs: Mapping[str, Tensor], dynamic_shapes: Any) -> Model:
    args, kwargs = bind_inputs(module, inputs)
    try:
        return export_model(module, args, kwargs, dynamic_shapes)
    except ConversionError as error:
        if not str(error).startswith("torch.export cannot"):
            raise
        given = ", ".join(f"{name} {describe(tensor)}" for name, tensor in inputs.items())
        raise ConversionError(f"{error}; with the inputs {given}") from error


def as_model(
    model: ModelSource,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> Model:
    """A model in any form, exporting a module with these inputs.

    Raises:
        InputError: inputs for a program, which carries its own; none for a module; a model that cannot be used.
        ConversionError: the model's code does not allow the export, or fixes a dynamic dim.
    """
    if isinstance(model, (str, os.PathLike)):
        return load_model(model, args, kwargs=kwargs, dynamic_shapes=dynamic_shapes)
    if isinstance(model, (Model, ExportedProgram)):
        _refuse_for_programs(args, kwargs, dynamic_shapes)
    else:
        _require_inputs(args, kwargs)
    return model if isinstance(model, Model) else export_model(model, args, kwargs, dynamic_shapes)


def _require_inputs(args: Sequence[Any] | Tensor | None, kwargs: Mapping[str, Any] | None) -> None:
    if args is None and not kwargs:
        raise InputError("args: expected example inputs for a module, given None")


def _refuse_for_programs(
    args: Sequence[Any] | Tensor | None, kwargs: Mapping[str, Any] | None, dynamic_shapes: Any
) -> None:
    for name, given in (("args", args), ("kwargs", kwargs), ("dynamic_shapes", dynamic_shapes)):
        if given is not None:
            raise InputError(f"{name}: expected None for a program, which carries its own, given {type(given)}")
