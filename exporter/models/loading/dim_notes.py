"""What a caller said of dynamic dims, kept beside a program: names, and dims that torch made static."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor
from torch.export import Dim, ExportedProgram

from attnexport.errors import InputError
from attnexport.models.dim_names import DimNames, FixedDims
from attnexport.models.loading.dim_texts import is_dim_name
from attnexport.models.loading.dynamic_shapes import InputLeaf
from attnexport.models.program import TensorSpec, input_specs
from attnexport.version import __version__

NOTE = "attnexport.json"


def dim_names_of(program: ExportedProgram, leaves: Sequence[InputLeaf]) -> DimNames:
    """The names that the caller gave to dynamic dims: {input: {axis: name}}; a derived dim's is ``2*n``."""
    found = {
        spec.name: {axis: dim.__name__ for axis, dim in leaf.named_dims()} for spec, leaf in _pairs(program, leaves)
    }
    return {name: axes for name, axes in found.items() if axes}


def fixed_dims(program: ExportedProgram, leaves: Sequence[InputLeaf]) -> FixedDims:
    """The dims that were declared as Dim.AUTO, and that the program has at one size."""
    found = {
        spec.name: tuple(
            axis
            for axis, dim in leaf.dims.items()
            if getattr(dim, "type", None) == Dim.AUTO.type and isinstance(spec.shape[axis], int)
        )
        for spec, leaf in _pairs(program, leaves)
    }
    return {name: axes for name, axes in found.items() if axes}


def _pairs(program: ExportedProgram, leaves: Sequence[InputLeaf]) -> Iterator[tuple[TensorSpec, InputLeaf]]:
    """Each tensor input with what the caller said of it; both are in torch.export's order."""
    return zip(input_specs(program), (leaf for leaf in leaves if isinstance(leaf.value, Tensor)), strict=True)


def write_note(names: DimNames, fixed: FixedDims) -> str:
    """The text that attnexport.save keeps in an archive."""
    note: dict[str, object] = {"attnexport": __version__, "dim_names": names}
    return json.dumps({**note, "fixed": fixed} if fixed else note, sort_keys=True)


def read_note(notes: Mapping[str, str], name: str) -> tuple[DimNames, FixedDims]:
    """What attnexport.save kept; nothing for an archive of torch.export.save.

    Raises:
        InputError: the note is not what attnexport.save writes.
    """
    if NOTE not in notes:
        return {}, {}
    try:
        given = json.loads(notes[NOTE])
        names = {
            str(entry): {int(axis): _dim_name(dim) for axis, dim in axes.items()}
            for entry, axes in given["dim_names"].items()
        }
        fixed = {str(entry): tuple(map(int, axes)) for entry, axes in given.get("fixed", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{name}: the note {NOTE} in the archive is not one of attnexport.save") from None
    return names, fixed


def _dim_name(value: object) -> str:
    # From an untrusted file: it is treated as text.
    if not is_dim_name(value):
        raise ValueError(value)
    return str(value)
