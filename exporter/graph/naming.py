"""Names of a file's inputs and outputs, whatever the tensors inside are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from attnexport.models.trees import unused


def name_ends(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Gives the inputs and outputs these names; tensors inside that have one of them get another.

    Returns:
        The new names of the tensors inside, by their old ones.
    """
    ends = [*zip(model.graph.inputs, inputs, strict=True), *zip(model.graph.outputs, outputs, strict=True)]
    named = {id(value) for value, _ in ends}
    taken = {value.name or "" for value in _values(model)} | {name for _, name in ends}
    moved: dict[str, str] = {}
    for value in list(_values(model)):
        if id(value) not in named and value.name in {*inputs, *outputs}:
            moved[value.name] = fresh = unused(value.name, taken)
            taken.add(fresh)
            value.name = fresh
    for value, name in ends:
        value.name = name
    return moved


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from (*graph.inputs, *graph.initializers.values())
        for node in graph:
            yield from node.outputs


def renamed(names: Mapping[str, str], moved: Mapping[str, str]) -> dict[str, str]:
    """The same mapping with its keys as they are called now."""
    return {moved.get(name, name): value for name, value in names.items()}
