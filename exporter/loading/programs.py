"""ExportedPrograms: from an audited .pt2, or by exporting a module, with torch's errors in one line."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import UserError, UserErrorType
from torch.export import ExportedProgram

from attnexport.errors import ConversionError, InputError
from attnexport.loading.dynamic_shapes import (
    InputLeaf,
    check_example,
    complete_dynamic_shapes,
    input_leaves,
    resolve_dynamic_shapes,
)
from attnexport.loading.modules import one_line, told
from attnexport.pt2_safety import AuditedArchive
from attnexport.pt2_safety.payloads import registered_inputs

DimNames = dict[str, dict[int, str]]

# Also what Dim("n") * 2 + 1 is called. The names come from untrusted files: treat them as text.
_DIM_NAME = re.compile(r"([0-9]{1,9}\s*\*\s*)?[^\W\d]\w{0,63}(\s*[+-]\s*[0-9]{1,9})?")
NOTE = "attnexport.json"


def load_audited(archive: AuditedArchive, name: str) -> ExportedProgram:
    """Let torch read an audited archive. Raises InputError: torch cannot, with its reason in one line."""
    from torch.export.pt2_archive._package import load_pt2

    try:
        # The archive's example inputs may hold these; without this torch would fall back to plain unpickling.
        with torch.serialization.safe_globals(list(registered_inputs().values())):
            return load_pt2(archive.stream()).exported_programs["model"]
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines[-1] if lines else type(error).__name__)[:300]
        raise InputError(
            f"{name}: torch {torch.__version__} cannot read the program ({reason}): re-export the model with "
            "this version of torch"
        ) from None


def dim_names_of_note(notes: Mapping[str, str], name: str) -> DimNames:
    """The names of dynamic dims that attnexport.save kept beside the program: {input: {axis: name}}.

    Raises:
        InputError: the note is not what attnexport.save writes.
    """
    if NOTE not in notes:
        return {}
    try:
        given = json.loads(notes[NOTE])["dim_names"]
        names = {str(entry): {int(axis): _dim_name(dim) for axis, dim in axes.items()} for entry, axes in given.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{name}: the note {NOTE} in the archive is not one of attnexport.save") from None
    return names


def _dim_name(value: object) -> str:
    if not isinstance(value, str) or not _DIM_NAME.fullmatch(value):
        raise ValueError(value)
    return value


def export_module(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """Exports a module in eval mode (strict=False); its training flags are as before afterwards.

    Args:
        model: the module; a program comes back as it is.
        args: example inputs, a tensor alone for a tuple of one. Default: None, no positional ones.
        kwargs: example keyword inputs. Default: None.
        dynamic_shapes: as for torch.export.export; names as texts may stand for Dims, and inputs without
            dynamic dims may be left out. Default: None, all static.

    Returns:
        The program.

    Raises:
        InputError: the inputs or dynamic_shapes do not fit the model.
        ConversionError: the model's code does not allow the export, or fixes a dynamic dim.
    """
    if isinstance(model, ExportedProgram):
        return model
    args, kwargs = as_inputs(args, kwargs)
    shapes = resolve_dynamic_shapes(dynamic_shapes, model, args, kwargs)
    leaves = input_leaves(model, args, kwargs, shapes)
    check_example(leaves)
    shapes = complete_dynamic_shapes(model, args, kwargs, shapes)
    try:
        with _in_eval_mode(model), _without_dumps():
            return torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)
    except UserError as error:
        if error.error_type is UserErrorType.CONSTRAINT_VIOLATION:
            raise ConversionError(_constraint(str(error), leaves)) from error
        if error.error_type is UserErrorType.INVALID_INPUT:
            raise InputError(f"dynamic_shapes: {one_line(error)}") from error
        raise ConversionError(f"torch.export cannot export the model: {one_line(error)}") from error
    except Exception as error:
        raise ConversionError(_failure(error)) from error


def as_inputs(
    args: Sequence[Any] | Tensor | None, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword inputs as torch.export takes them."""
    return ((args,) if isinstance(args, Tensor) else tuple(args or ()), dict(kwargs or {}))


@contextlib.contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextlib.contextmanager
def _without_dumps() -> Iterator[None]:
    """Drops what torch writes to stderr when an export fails: graphs and hints of many lines. TORCH_LOGS keeps it."""
    if os.environ.get("TORCH_LOGS"):
        yield
        return
    captured = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        with contextlib.redirect_stderr(captured):
            yield
    finally:
        logging.disable(before)
    sys.stderr.write(captured.getvalue())


def _constraint(message: str, leaves: Sequence[InputLeaf]) -> str:
    """torch's report on dynamic dims as one line that names the input and the axis."""
    fixed = re.search(r"You marked (.+?) as dynamic but your code specialized it to be a constant \((\d+)\)", message)
    if fixed:
        return (
            f"dynamic dim {_place(fixed[1], leaves)}: the model's code only works at size {fixed[2]} (a size in a "
            "reshape, or a parameter of that size): make the code use the input's shape, or leave this dim static"
        )
    guard = re.search(
        r"Not all values of (\S+) = \S+ in the specified range.*? satisfy the generated guard (.+?)\.?$", message, re.M
    )
    if guard:
        return (
            f"dynamic dim {_place(guard[1], leaves)}: the model's code needs {_readable(guard[2])}: declare the dim so "
            "(a range, or Dim('n') * k), or leave it static"
        )
    return f"the dynamic dims do not fit the model: {_readable(one_line(message))}"


def _readable(guard: str) -> str:
    return re.sub(r"L\['(\w+)'\]((?:\[[^\]]*\])*)\.size\(\)\[(\d+)\]", r"\1\2.shape[\3]", guard)


def _place(dim: str, leaves: Sequence[InputLeaf]) -> str:
    """`'batch' (x axis 0)` for a dim by its name, `x axis 0` for torch's own name of a nameless one."""
    source = re.fullmatch(r"L\['(\w+)'\].*\.size\(\)\[(\d+)\]", dim)
    if source:
        return f"{source[1]} axis {source[2]}"
    places = [f"{leaf.name} axis {axis}" for leaf in leaves for axis, each in leaf.named_dims() if each.__name__ == dim]
    return f"{dim!r} ({', '.join(places)})" if places else repr(dim)


def _failure(error: Exception) -> str:
    text = str(error)
    hint = re.search(
        r"export 0/1 specialized due to hint of (\d) for dimension inputs\['(\w+)'\]\.shape\[(\d+)\]", text
    )
    if hint:
        return (
            f"dynamic dim {hint[2]} axis {hint[3]} is {hint[1]} in the example, and torch.export would fix it there: "
            "give an example of size 2 or more"
        )
    if "data-dependent" in text:
        place = re.search(r'File "([^"]+)", line (\d+)', text)
        where = f" ({place[1]}:{place[2]})" if place else ""
        return (
            f"the model branches on the values of a tensor{where}, which torch.export cannot record: "
            "use torch.where or torch.cond"
        )
    return f"torch.export cannot export the model: {told(error)}"
