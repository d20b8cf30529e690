"""Programs whose inputs and outputs nest in tuples, lists and dicts alone, so that every process can read them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.exported_program import ModuleCallEntry
from torch.utils import _pytree as pytree

from attnexport.models.trees import plain_spec, plain_tree


def plain_program(program: ExportedProgram) -> ExportedProgram:
    """The program without types that only this process knows, and without the ranges of derived dims.

    A dataclass, a named tuple or a registered type becomes a dict of its fields, or a list where it has no names
    for its parts. torch trips over the ranges of ``2*n`` once it has read them from a file; those of n say the same.

    Returns:
        A new program around the same graph, or the program itself where there is nothing to change.
    """
    _drop_derived_ranges(program)
    entries = [_plain_entry(entry) for entry in program.module_call_graph]
    before, after = program.module_call_graph[0].signature, entries[0].signature
    if before is None or after is None or entries == program.module_call_graph:
        return program
    plain = copy.copy(program)
    plain._module_call_graph = entries
    if after.in_spec != before.in_spec:
        renamed = _renamed_sources(before.in_spec, after.in_spec, before.forward_arg_names or [])
        plain._guards_code = [_replaced(guard, renamed) for guard in program._guards_code]
        if program.example_inputs is not None:
            plain._example_inputs = plain_tree(before.in_spec, iter(pytree.tree_leaves(program.example_inputs)))
    return plain


def _plain_entry(entry: ModuleCallEntry) -> ModuleCallEntry:
    if entry.signature is None:
        return entry
    in_spec, out_spec = plain_spec(entry.signature.in_spec), plain_spec(entry.signature.out_spec)
    signature = dataclasses.replace(entry.signature, in_spec=in_spec, out_spec=out_spec)
    return dataclasses.replace(entry, signature=signature)


def _renamed_sources(before: pytree.TreeSpec, after: pytree.TreeSpec, names: list[str]) -> dict[str, str]:
    """What guards call each input: ``L['batch'].tokens`` becomes ``L['batch']['tokens']``."""
    pairs = zip(_sources(before, names), _sources(after, names), strict=True)
    return {old: new for old, new in sorted(pairs, key=lambda pair: -len(pair[0])) if old != new}


def _sources(spec: pytree.TreeSpec, names: list[str]) -> list[str]:
    flat, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(list(range(spec.num_leaves)), spec))
    return [f"L{pytree.keystr(_from_argument(path, names))}" for path, _ in flat]


def _from_argument(path: tuple[Any, ...], names: list[str]) -> tuple[Any, ...]:
    place, argument, *rest = path
    if place.idx == 0 and argument.idx < len(names):
        argument = pytree.MappingKey(names[argument.idx])
    return (argument, *rest)


def _replaced(guard: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        guard = guard.replace(old, new)
    return guard


def _drop_derived_ranges(program: ExportedProgram) -> None:
    _keep_symbols(program._range_constraints)
    for node in program.graph.nodes:
        value = node.meta.get("val")
        for size in value.shape if isinstance(value, torch.Tensor) else ():
            if isinstance(size, torch.SymInt):
                _keep_symbols(size.node.shape_env.var_to_range)
                return


def _keep_symbols(ranges: dict[Any, Any]) -> None:
    for key in [key for key in ranges if not key.is_Symbol]:
        del ranges[key]
