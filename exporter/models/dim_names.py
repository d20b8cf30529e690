"""What a caller called dynamic dims, and dims that torch made static."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.export import ExportedProgram

from attnexport.errors import shortlist
from attnexport.models.loading.dim_texts import symbol_named
from attnexport.models.program import input_specs

DimNames = dict[str, dict[int, str]]
"""{input: {axis: name}}; a derived dim's name is ``2*n``."""

FixedDims = dict[str, tuple[int, ...]]
"""{input: axes} that were declared with Dim.AUTO, and that torch made static."""


def notes_on_fixed(program: ExportedProgram, fixed: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """A sentence for each dim that is static although it was declared as Dim.AUTO."""
    shapes = {spec.name: spec.shape for spec in input_specs(program)}
    return tuple(
        f"{name} axis {axis}: declared as AUTO, and torch fixed it at {shapes[name][axis]}: the example's size is 0 or "
        "1, or the model's code needs this size"
        for name, axes in fixed.items()
        for axis in axes
        if axis < len(shapes.get(name, ())) and isinstance(shapes[name][axis], int)
    )


def notes_on_static(program: ExportedProgram, because: str) -> tuple[str, ...]:
    """A sentence for a program that has no dynamic dim, which says why; none for one that has, or that takes scalars.

    Args:
        program: the program.
        because: as ``--dynamic was not given``.
    """
    specs = [spec for spec in input_specs(program) if not spec.is_state and spec.shape]
    if not specs or any(isinstance(size, str) for spec in specs for size in spec.shape):
        return ()
    shapes = [f"{spec.name} {spec.shape}" for spec in specs]
    return (f"{'inputs stay' if len(specs) > 1 else 'input stays'} as in the example, {shortlist(shapes)}: {because}",)


def symbol_names(program: ExportedProgram, dim_names: Mapping[str, Mapping[int, str]]) -> dict[str, str]:
    """Symbol to declared name: ``s0`` to n where an input's size is ``s0`` and called n, or ``2*s0`` and ``2*n``."""
    names: dict[str, str] = {}
    for spec in input_specs(program):
        for axis, name in (dim_names.get(spec.name) or dim_names.get(spec.placeholder) or {}).items():
            pair = symbol_named(str(spec.shape[int(axis)]), name) if int(axis) < len(spec.shape) else None
            if pair is not None:
                names.setdefault(*pair)
    return names
