"""Programs that change tensors in place, and the same programs without."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, OutputKind

from attnexport.errors import ConversionError, first_line
from attnexport.models.torch_graphs import all_graphs, arguments_of

WRITES = (
    OutputKind.BUFFER_MUTATION,
    OutputKind.PARAMETER_MUTATION,
    OutputKind.USER_INPUT_MUTATION,
)
"""Outputs of a program that stand for what its forward wrote."""


_UPDATES_STATISTICS = (torch.ops.aten.batch_norm.default, torch.ops.aten.instance_norm.default)
"""Operators whose schemas do not say that they write; their sixth argument says whether they do."""


def writes_in_place(graph: torch.fx.GraphModule) -> bool:
    """Whether an operator of the graph, or of a graph inside it, changes a tensor that it is given."""
    return any(changes_arguments(node) for each in all_graphs(graph) for node in each.nodes)


def _writes_what_others_see(graph: torch.fx.GraphModule) -> bool:
    """Whether a changed tensor is an input, a buffer or a view, or is used elsewhere after the change."""
    inner = (module for name, module in graph.named_modules() if name and isinstance(module, torch.fx.GraphModule))
    if any(writes_in_place(module) for module in inner):
        return True
    order = {node: position for position, node in enumerate(graph.graph.nodes)}
    return any(
        _is_seen(written) or any(order[user] > order[node] for user in written.users)
        for node in graph.graph.nodes
        if changes_arguments(node)
        for written in _written(node)
    )


def _written(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The arguments that a node's operator changes."""
    if node.target in _UPDATES_STATISTICS:
        return [given for given in node.args[3:5] if isinstance(given, torch.fx.Node)]
    assert isinstance(node.target, torch._ops.OpOverload)
    given, schema = arguments_of(node), node.target._schema.arguments
    changed = [given[argument.name] for argument in schema if argument.alias_info and argument.alias_info.is_write]
    return [value for value in changed if isinstance(value, torch.fx.Node)]


def _is_seen(node: torch.fx.Node) -> bool:
    """Whether a value is held elsewhere too: it came in, or is a view of another."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return True
    return not changes_arguments(node) and any(result.alias_info for result in node.target._schema.returns)


def changes_arguments(node: torch.fx.Node) -> bool:
    """Whether a node's operator changes a tensor that it is given, as batch normalization's in training does."""
    if node.target is torch.ops.aten.detach_.default:
        return False
    if node.target in _UPDATES_STATISTICS:
        return bool(node.args[5])
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def has_writes(signature: ExportGraphSignature) -> bool:
    """Whether a signature has outputs for what forward wrote."""
    return any(spec.kind in WRITES for spec in signature.output_specs)


def functional(program: ExportedProgram) -> ExportedProgram:
    """The same program with new tensors in place of changed ones.

    What its forward wrote into buffers, parameters and inputs are outputs of their own, as the signature says. A
    program that changes nothing but values of its own that nobody sees before, as ``relu_`` behind a linear layer does,
    comes back as it is.

    Raises:
        ConversionError: a tensor is changed that is neither a buffer nor a parameter, or torch cannot do it.
    """
    if not _writes_what_others_see(program.graph_module) or has_writes(program.graph_signature):
        return program
    try:
        decomposed: ExportedProgram = _without_unused_aliases(program).run_decompositions({})
        return decomposed
    except Exception as error:
        reason = first_line(error)
        if reason.startswith("Constant ") and "is mutated" in reason:
            raise ConversionError(
                f"constant {reason.split()[1]}: forward changes it, which a file cannot hold: make it a buffer "
                "with register_buffer, or leave it as it is"
            ) from error
        shared = _sharing_memory(program)
        if shared:
            raise ConversionError(
                f"buffers {' and '.join(shared)} share memory and forward writes one of them, which a program without "
                "writes cannot say: give each its own, or keep one"
            ) from error
        raise ConversionError(f"the model changes tensors in place in a way that cannot be undone: {reason}") from error


def _without_unused_aliases(program: ExportedProgram) -> ExportedProgram:
    """The program with memory of its own for what it does not use: torch takes one of several names of a buffer, and
    then stumbles over the others."""
    used = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    targets = {spec.target for spec in program.graph_signature.input_specs if spec.arg.name in used}
    apart = copy.copy(program)
    apart._state_dict = _cloned_unless(program.state_dict, targets)
    apart._constants = _cloned_unless(program.constants, targets)
    return apart


def _cloned_unless(held: Mapping[str, Any], kept: Collection[str | None]) -> dict[str, Any]:
    return {
        name: value.clone() if isinstance(value, torch.Tensor) and name not in kept else value
        for name, value in held.items()
    }


def _sharing_memory(program: ExportedProgram) -> list[str]:
    """The first buffers or parameters of one memory, empty where there are none."""
    by_memory: dict[int, list[str]] = {}
    for name, value in {**program.state_dict, **program.constants}.items():
        if isinstance(value, torch.Tensor):
            by_memory.setdefault(value.untyped_storage().data_ptr(), []).append(name)
    return next((names for names in by_memory.values() if len(names) > 1), [])
