"""ExportedPrograms: from an audited .pt2, or by exporting a module, with torch's errors in one line."""

from __future__ import annotations

import contextlib
import functools
import io
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

from attnexport.errors import BRIEF, ConversionError, InputError, first_line, told
from attnexport.messages import option
from attnexport.models.audit import AuditedArchive
from attnexport.models.audit.payloads import registered_inputs
from attnexport.models.descriptions import descriptions_of
from attnexport.models.dim_names import notes_on_static
from attnexport.models.loading.containers import containers_known
from attnexport.models.loading.dim_notes import dim_names_of, fixed_dims
from attnexport.models.loading.dynamic_shapes import (
    InputLeaf,
    check_example,
    complete_dynamic_shapes,
    input_leaves,
    resolve_dynamic_shapes,
)
from attnexport.models.loading.plain_programs import plain_program
from attnexport.models.loading.unwrapping import bare, notes_on_training
from attnexport.models.loading.vmapped import without_vmap
from attnexport.models.loading.weights_ready import check_weights
from attnexport.models.model import Model
from attnexport.models.state.assigned import assignments_kept

EXPORTED_SO = "the program was exported without dynamic_shapes"
"""Why a program has no dynamic dims."""


def load_audited(archive: AuditedArchive, name: str) -> ExportedProgram:
    """Let torch read an audited archive. Raises InputError: torch cannot, with its reason in one line."""
    from torch.export.pt2_archive._package import load_pt2

    try:
        # The archive's example inputs may hold these; without this torch would fall back to plain unpickling.
        with torch.serialization.safe_globals(list(registered_inputs().values())):
            return without_vmap(load_pt2(archive.stream()).exported_programs["model"])
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines[-1] if lines else type(error).__name__)[:300]
        raise InputError(
            f"{name}: torch {torch.__version__} cannot read the program ({reason}): re-export the model with "
            "this version of torch"
        ) from None


def export_model(
    model: object,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> Model:
    """Exports a module in eval mode (strict=False); the module is as before afterwards.

    Args:
        model: a module, in whatever torch.compile, DataParallel, DistributedDataParallel or an average put around it;
            functools.partial of one, or a method of one; or a program, which is not exported again.
        args: example inputs, a tensor alone for a tuple of one. Default: None, no positional ones; a program's own.
        kwargs: example keyword inputs. Default: None.
        dynamic_shapes: as for torch.export.export; texts may stand for Dims (``n``, ``2*n``, ``n+1``, ``AUTO``), and
            inputs without dynamic dims may be left out. For a program they name its dims. Default: None, all static.

    Returns:
        The program with the names of its dims.

    Raises:
        InputError: no module, weights that cannot be read, or inputs or dynamic_shapes that do not fit it.
        ConversionError: the model's code does not allow the export, or fixes a dynamic dim.
    """
    if isinstance(model, ExportedProgram):
        return _named(model, args, kwargs, dynamic_shapes)
    args, kwargs = as_inputs(args, kwargs)
    notes = notes_on_training(model)
    with bare(model) as module, containers_known(module, (args, kwargs)):
        check_weights(module)
        shapes = resolve_dynamic_shapes(dynamic_shapes, module, args, kwargs)
        leaves = input_leaves(module, args, kwargs, shapes)
        check_example(leaves)
        shapes = complete_dynamic_shapes(module, args, kwargs, shapes)
        program = plain_program(_exported(module, args, kwargs, shapes, leaves))
        said = descriptions_of(module)
    if dynamic_shapes is None:
        notes = (*notes_on_static(program, f"{option('--dynamic')} was not given"), *notes)
    fixed = fixed_dims(program, leaves)
    return Model(program, dim_names_of(program, leaves), fixed, notes=notes, descriptions=said)


def _named(
    program: ExportedProgram,
    args: Sequence[Any] | Tensor | None,
    kwargs: Mapping[str, Any] | None,
    dynamic_shapes: Any,
) -> Model:
    program = plain_program(without_vmap(program))
    if dynamic_shapes is None:
        return Model(program, notes=notes_on_static(program, EXPORTED_SO))
    args, kwargs = as_inputs(args, kwargs)
    if not args and not kwargs and program.example_inputs is not None:
        args, kwargs = as_inputs(*program.example_inputs)
    leaves = input_leaves(program, args, kwargs, resolve_dynamic_shapes(dynamic_shapes, program, args, kwargs))
    return Model(program, dim_names_of(program, leaves))


def _exported(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any, leaves: Sequence[InputLeaf]
) -> ExportedProgram:
    try:
        export = functools.partial(_afresh_where_sizes_stick, module, args, kwargs, shapes)
        with _without_dumps():
            with assignments_kept(module) as assigned:
                program = export()
            assigned.refuse_lost(program, args, kwargs)
            return without_vmap(program)
    except ConversionError:
        raise
    except UserError as error:
        if error.error_type is UserErrorType.CONSTRAINT_VIOLATION:
            raise ConversionError(_constraint(str(error), leaves)) from error
        if error.error_type is UserErrorType.INVALID_INPUT:
            raise InputError(f"dynamic_shapes: {first_line(error, BRIEF)}") from error
        raise ConversionError(f"torch.export cannot export the model: {first_line(error, BRIEF)}") from error
    except Exception as error:
        unknown = _unknown_container(str(error), leaves)
        if unknown:
            raise InputError(unknown) from error
        raise ConversionError(_failure(error)) from error


def _afresh_where_sizes_stick(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> ExportedProgram:
    """torch.export; once more without what torch remembers of a torch.cond that was exported at fixed sizes before."""
    export = functools.partial(torch.export.export, module, args, kwargs, dynamic_shapes=shapes, strict=False)
    try:
        return export()
    except UserError as error:
        if error.error_type is not UserErrorType.CONSTRAINT_VIOLATION:
            raise
    torch.compiler.reset()
    return export()


def _unknown_container(message: str, leaves: Sequence[InputLeaf]) -> str:
    """The refusal of a type that torch cannot take apart, empty for other messages."""
    known = "tensors, tuples, lists, dicts, named tuples and dataclasses are taken apart; register any other type with "
    register = f"{known}torch.utils._pytree.register_pytree_node(TYPE, flatten, unflatten)"
    given = re.search(r"Unsupported input type <class '([^']+)'>", message)
    if given:
        kind = given[1].rpartition(".")[2]
        place = next((leaf.name for leaf in leaves if type(leaf.value).__name__ == kind), "")
        return f"input {place or kind}: a {kind}, which torch.export cannot take apart: {register}"
    returned = re.search(r"Found <class '([^']+)'> in output", message)
    return f"the model returns a {returned[1].rpartition('.')[2]}: {register}" if returned else ""


def as_inputs(
    args: Sequence[Any] | Tensor | None, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword inputs as torch.export takes them."""
    return ((args,) if isinstance(args, Tensor) else tuple(args or ()), dict(kwargs or {}))


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
    equal = re.findall(r"The values of (\S+) = .+? and (\S+) = .+? must always be equal", message)
    if equal:
        pairs = "; ".join(f"{_place(one, leaves)} and {_place(other, leaves)}" for one, other in equal)
        return f"dynamic dims {pairs}: the model's code needs them to be equal: give them one name"
    return f"the dynamic dims do not fit the model: {_readable(first_line(message, BRIEF))}"


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
    if "Cannot call sizes() on tensor with symbolic sizes" in text:
        return (
            "torch.export keeps a dim dynamic inside torch.vmap only if it is the mapped one: leave the others static, "
            "or make the model work on a batch without vmap"
        )
    return f"torch.export cannot export the model: {told(error)}"
