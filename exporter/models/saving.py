"""attnexport.save: a model as a .pt2 that attnexport and torch.export.load read on any machine."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import BRIEF, ConversionError, InputError, first_line
from attnexport.files.outputs import replacing
from attnexport.models.audit import AuditedArchive, audit_pt2_bytes
from attnexport.models.loading.dim_notes import NOTE, write_note
from attnexport.models.loading.programs import export_model, load_audited
from attnexport.models.loading.unwrapping import notes_on_training
from attnexport.models.model import Model
from attnexport.models.program import input_specs, output_names


def save(
    model: nn.Module | ExportedProgram | Callable[..., Any],
    path: str | os.PathLike[str],
    *,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> None:
    """Exports a model in eval mode and writes it as a .pt2.

    The file holds the program, its weights, the example inputs and the names of the dynamic dims. It holds
    no stack traces and no paths of this machine, and the same model gives the same bytes. Dataclasses, named tuples
    and registered types among inputs and outputs are kept as dicts of their fields, so that any process can read it.

    Args:
        model: a module, also in what torch.compile, DataParallel, DistributedDataParallel or an average put around
            it; functools.partial or a method of one; or a program that torch.export made.
        path: the file to write; its name ends in .pt2.
        args: example inputs, a tensor alone for a tuple of one. Dynamic dims need size 2 or more there.
            Default: None, for a program.
        kwargs: example keyword inputs. Default: None.
        dynamic_shapes: as for torch.export.export, by input name or position, with Dim, Dim.AUTO, Dim.DYNAMIC
            or a text: the name of a dim (equal names are equal sizes), ``2*n``, ``n+1`` or ``AUTO``. Warnings say
            when a dim declared as Dim.AUTO became static, and when the model was in training mode. Default: None,
            all static.

    Raises:
        InputError: weights without values, inputs or dynamic_shapes that do not fit the model, or a file that cannot
            be written.
        ConversionError: the model cannot be exported, returns something other than tensors, or cannot be saved in a
            file that is safe to load; what was saved is loaded again before the file is written.
    """
    target = Path(path)
    if target.suffix != ".pt2":
        raise InputError(f"{target}: expected a name that ends in .pt2")
    training = () if isinstance(model, ExportedProgram) else notes_on_training(model)
    exported = export_model(model, args, kwargs, dynamic_shapes)
    output_names(exported.program)
    archive = _archive(exported, str(target))
    _check_reading_back(exported.program, archive, str(target))
    with replacing(target) as folder:
        (folder / target.name).write_bytes(archive.data)
    for note in (*exported.notes_on_dims, *training):
        warnings.warn(f"{target}: {note}", UserWarning, stacklevel=2)


@contextlib.contextmanager
def _compact_examples(program: ExportedProgram) -> Iterator[None]:
    """Copies the example inputs while they are saved: torch would write the whole storage behind a view."""
    examples = program.example_inputs
    program.example_inputs = pytree.tree_map_only(torch.Tensor, torch.clone, examples)
    try:
        yield
    finally:
        program.example_inputs = examples


def _archive(model: Model, name: str) -> AuditedArchive:
    buffer, note = io.BytesIO(), write_note(model.dim_names, model.fixed)
    try:
        with _compact_examples(model.program):
            torch.export.save(model.program, buffer, extra_files={NOTE: note})
    except Exception as error:
        raise ConversionError(f"{name}: torch cannot save the program: {first_line(error, BRIEF)}") from error
    try:
        # The audited copy: what nobody needs, such as stack traces with this machine's paths, is gone.
        return audit_pt2_bytes(buffer.getvalue(), name)
    except InputError as error:
        raise ConversionError(f"{error}; attnexport would not load such a file again") from None


def _check_reading_back(program: ExportedProgram, archive: AuditedArchive, name: str) -> None:
    """Loads what is about to be written as a reader will, and compares."""
    try:
        again = load_audited(archive, name)
    except InputError as error:
        raise ConversionError(f"{error}; the file would be of no use") from None
    for what, describe in _DESCRIPTIONS.items():
        expected, given = describe(program), describe(again)
        if expected != given:
            raise ConversionError(
                f"{name}: torch reads other {what} back than it saved: expected {_shown(expected)}, "
                f"given {_shown(given)}"
            )


def _operators(program: ExportedProgram) -> list[str]:
    """Those that the outputs need, without their libraries: the audit puts its own before some, and drops the dead."""
    needed: set[torch.fx.Node] = set()
    for node in reversed(program.graph.nodes):
        if node.op == "output" or node in needed:
            needed.update(node.all_input_nodes)
    called = [node.target for node in program.graph.nodes if node in needed and node.op == "call_function"]
    return [str(target).partition(".")[2] or str(target) for target in called]


_DESCRIPTIONS: dict[str, Callable[[ExportedProgram], Sequence[Any]]] = {
    "inputs": lambda program: list(map(str, input_specs(program))),
    "outputs": output_names,
    "operators": _operators,
}


def _shown(parts: Sequence[Any]) -> str:
    return ", ".join(map(str, parts))[:200]
