"""Which buffers that a program writes have a part in its outputs, in the same call or in later ones."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
import torch.fx
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument

_STATE = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)

_WITHOUT_FIRST = {
    getattr(torch.ops.aten, name)
    for name in ("copy", "fill", "zero", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_full")
}
"""Operators whose result takes size and type from their first argument, and no values."""

_BATCH_NORM = torch.ops.aten._native_batch_norm_legit_functional.default
_NEW_STATISTICS = (3, 4)
"""Which of its results are the new running statistics."""


def written(program: ExportedProgram) -> dict[str, OutputSpec]:
    """The buffers and parameters that a functional program writes, by path, with the output that holds what."""
    return {spec.target: spec for spec in program.graph_signature.output_specs if spec.kind in _STATE and spec.target}


def read_by_outputs(program: ExportedProgram) -> tuple[str, ...]:
    """Paths of the written buffers that outputs depend on, through the buffers' next values too.

    Args:
        program: a functional one.
    """
    state = written(program)
    reached = _reached(program, state)
    wanted: set[str] = set()
    outputs = [spec for spec in program.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    names = [spec.arg.name for spec in outputs if isinstance(spec.arg, TensorArgument)]
    fresh = set().union(*(reached.get(name, set()) for name in names))
    while fresh:
        wanted |= fresh
        fresh = set().union(*(reached.get(state[path].arg.name, set()) for path in fresh)) - wanted
    return tuple(path for path in state if path in wanted)


def _reached(program: ExportedProgram, state: Mapping[str, OutputSpec]) -> dict[str, set[str]]:
    """By name of a node, the written buffers whose values it is made from."""
    buffers = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.target in state and isinstance(spec.arg, TensorArgument)
    }
    reached: dict[str, set[str]] = {}
    for node in program.graph.nodes:
        if node.name in buffers:
            reached[node.name] = {str(buffers[node.name])}
        elif node.op == "call_function":
            reached[node.name] = set().union(*(reached.get(given.name, set()) for given in _values_of(node)))
    return reached


def _values_of(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The nodes whose values a node is made from."""
    given = list(node.all_input_nodes)
    if node.target is torch.ops.aten.sym_size.int:
        return []
    if getattr(node.target, "overloadpacket", None) in _WITHOUT_FIRST:
        return [other for other in given if other is not node.args[0] or other in node.args[1:]]
    if node.target is _BATCH_NORM:
        return [other for other in given if other not in _statistics(node)]
    if node.target is operator.getitem and given[0].target is _BATCH_NORM and node.args[1] in _NEW_STATISTICS:
        return [*given, *_statistics(given[0])]
    return given


def _statistics(node: torch.fx.Node) -> list[torch.fx.Node]:
    """Running mean and variance of a batch normalization in training, which its other results do not use."""
    return [given for given in node.args[3:5] if isinstance(given, torch.fx.Node)]
