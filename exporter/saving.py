"""attnexport.save: a model as a .pt2 that attnexport and torch.export.load read on any machine."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import ConversionError, InputError
from attnexport.files import replacing
from attnexport.loading.dynamic_shapes import input_leaves, resolve_dynamic_shapes
from attnexport.loading.modules import one_line
from attnexport.loading.programs import NOTE, DimNames, as_inputs, export_module
from attnexport.pt2_safety import audit_pt2_bytes


def save(
    model: nn.Module | ExportedProgram,
    path: str | os.PathLike[str],
    *,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> None:
    """Exports a model in eval mode and writes it as a .pt2.

    The file holds the program, its weights, the example inputs and the names of the dynamic dims. It holds
    no stack traces and no paths of this machine, and the same model gives the same bytes.

    Args:
        model: a module, or a program that torch.export made.
        path: the file to write; its name ends in .pt2.
        args: example inputs, a tensor alone for a tuple of one. Dynamic dims need size 2 or more there.
            Default: None, for a program.
        kwargs: example keyword inputs. Default: None.
        dynamic_shapes: as for torch.export.export, by input name or position, with Dim, Dim.AUTO, Dim.DYNAMIC
            or a text as the name of a dim (equal names are equal sizes). Default: None, all static.

    Raises:
        InputError: the inputs or dynamic_shapes do not fit the model, or the file cannot be written.
        ConversionError: the model cannot be exported, or not be saved in a file that is safe to load.
    """
    target = Path(path)
    if target.suffix != ".pt2":
        raise InputError(f"{target}: expected a name that ends in .pt2")
    program = export_module(model, args, kwargs, dynamic_shapes)
    names = dim_names_from(dynamic_shapes, args, model, kwargs)
    data = _archive(program, names, str(target))
    with replacing(target) as folder:
        (folder / target.name).write_bytes(data)


def dim_names_from(
    dynamic_shapes: Any,
    args: Sequence[Any] | Tensor | None,
    model: nn.Module | ExportedProgram,
    kwargs: Mapping[str, Any] | None = None,
) -> DimNames:
    """The names that the caller gave to dynamic dims: {input name: {axis: name}}.

    Dims without a name (Dim.AUTO, Dim.DYNAMIC) are left out; a derived dim has its formula as a name
    (``2*n``). For a program without args its own example inputs count.

    Raises:
        InputError: the inputs or dynamic_shapes do not fit the model.
    """
    if dynamic_shapes is None:
        return {}
    args, kwargs = as_inputs(args, kwargs)
    if isinstance(model, ExportedProgram) and not args and not kwargs and model.example_inputs is not None:
        args, kwargs = as_inputs(*model.example_inputs)
    shapes = resolve_dynamic_shapes(dynamic_shapes, model, args, kwargs)
    found = {}
    for leaf in input_leaves(model, args, kwargs, shapes):
        names = {axis: dim.__name__ for axis, dim in leaf.named_dims()}
        if names:
            found[leaf.name] = names
    return found


@contextlib.contextmanager
def _compact_examples(program: ExportedProgram) -> Iterator[None]:
    """Copies the example inputs while they are saved: torch would write the whole storage behind a view."""
    examples = program.example_inputs
    program.example_inputs = pytree.tree_map_only(torch.Tensor, torch.clone, examples)
    try:
        yield
    finally:
        program.example_inputs = examples


def _archive(program: ExportedProgram, names: DimNames, name: str) -> bytes:
    import attnexport

    note = json.dumps({"attnexport": attnexport.__version__, "dim_names": names}, sort_keys=True)
    buffer = io.BytesIO()
    try:
        with _compact_examples(program):
            torch.export.save(program, buffer, extra_files={NOTE: note})
    except Exception as error:
        raise ConversionError(f"{name}: torch cannot save the program: {one_line(error)}") from error
    try:
        # The audited copy: what nobody needs, such as stack traces with this machine's paths, is gone.
        return audit_pt2_bytes(buffer.getvalue(), name).data
    except InputError as error:
        raise ConversionError(f"{error}; attnexport would not load such a file again") from None
