"""A program's written buffers as inputs and outputs of it, or left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor
from torch.export import ExportedProgram, ModuleCallEntry
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
)

from attnexport.models.program import STATE, input_specs, next_state, output_names
from attnexport.models.state.dependence import written
from attnexport.models.state.writes import WRITES


@dataclass(frozen=True)
class _Buffer:
    """A written buffer: the name of its input, its place in the program, and what it holds at first."""

    name: str
    spec: InputSpec
    initial: Tensor


def without_writes(program: ExportedProgram) -> ExportedProgram:
    """A functional program without the outputs that stand for what forward wrote."""
    return _rebuilt(program, [])


def with_state_inputs(program: ExportedProgram) -> ExportedProgram:
    """A functional program with an input for each buffer that it writes, and an output for what it holds next.

    They come behind the others, in the order of the program's buffers, are called as the buffer and as the buffer
    with ``_next`` behind, and have its dtype and its shape, which is fixed. Their example is what the program came
    with. What forward wrote into its own inputs is left out.
    """
    held = {**program.state_dict, **program.constants}
    taken = {spec.name for spec in input_specs(program)}
    taken |= {name.removesuffix(next_state("")) for name in output_names(program)}
    paths = written(program)
    return _rebuilt(
        program,
        [
            _Buffer(_free(str(spec.target), taken), spec, held[str(spec.target)].detach().clone())
            for spec in program.graph_signature.input_specs
            if spec.target in paths
        ],
    )


def _free(name: str, taken: Collection[str]) -> str:
    return name if name not in taken else _free(f"{name}_state", taken)


def _rebuilt(program: ExportedProgram, state: list[_Buffer]) -> ExportedProgram:
    """The program without outputs for what it wrote, with inputs and outputs for these buffers."""
    graph, copies = torch.fx.Graph(), dict[torch.fx.Node, torch.fx.Node]()
    graph.graph_copy(program.graph, copies)
    for node, copied in copies.items():
        # A copy of a node called input would be called input_1, which the signature does not know.
        copied.name = node.name
    inputs = _inputs(program, state)
    by_name = {node.name: copies[node] for node in program.graph.nodes if node.op == "placeholder"}
    _order(graph, [by_name[spec.arg.name] for spec in inputs])
    for buffer in state:
        by_name[buffer.spec.arg.name].meta[STATE] = buffer.name
    outputs, values = _outputs(program, state)
    graph.output(tuple(copies.get(value, value) for value in values))
    graph.eliminate_dead_code()
    gone = {buffer.spec.target for buffer in state}
    return ExportedProgram(
        root=program.graph_module,
        graph=graph,
        graph_signature=ExportGraphSignature(inputs, outputs),
        state_dict={name: tensor for name, tensor in program.state_dict.items() if name not in gone},
        range_constraints=program.range_constraints,
        module_call_graph=_call_graph(program, state),
        example_inputs=_examples(program, state),
        constants={name: tensor for name, tensor in program.constants.items() if name not in gone},
        verifiers=program.verifiers,
    )


def _inputs(program: ExportedProgram, state: list[_Buffer]) -> list[InputSpec]:
    buffers = [buffer.spec for buffer in state]
    others = [spec for spec in program.graph_signature.input_specs if spec not in buffers]
    return [*others, *(InputSpec(InputKind.USER_INPUT, spec.arg, None) for spec in buffers)]


def _outputs(program: ExportedProgram, state: list[_Buffer]) -> tuple[list[OutputSpec], list[Any]]:
    """The outputs and the nodes that they are."""
    (old,) = (node for node in program.graph.nodes if node.op == "output")
    pairs = list(zip(program.graph_signature.output_specs, old.args[0], strict=True))
    kept = [(spec, value) for spec, value in pairs if spec.kind not in WRITES]
    following = {spec.target: (OutputSpec(OutputKind.USER_OUTPUT, spec.arg, None), value) for spec, value in pairs}
    specs, values = zip(*kept, *(following[buffer.spec.target] for buffer in state), strict=True)
    return list(specs), list(values)


def _order(graph: torch.fx.Graph, wanted: Iterable[torch.fx.Node]) -> None:
    place = graph._root
    for node in wanted:
        place.append(node)
        place = node


def _examples(program: ExportedProgram, state: list[_Buffer]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if program.example_inputs is None:
        return None
    args, kwargs = program.example_inputs
    return args, {**kwargs, **{buffer.spec.arg.name: buffer.initial for buffer in state}}


def _call_graph(program: ExportedProgram, state: list[_Buffer]) -> list[ModuleCallEntry]:
    """The program's calls; the outermost takes the state as further keyword arguments and returns it in a tuple."""
    whole, *others = program.module_call_graph
    called = whole.signature
    if not state or called is None:
        return list(program.module_call_graph)
    args, kwargs = pytree.tree_unflatten([0] * called.in_spec.num_leaves, called.in_spec)
    returned = pytree.tree_unflatten([0] * called.out_spec.num_leaves, called.out_spec)
    added = [buffer.spec.arg.name for buffer in state]
    names = called.forward_arg_names
    extended = replace(
        called,
        in_spec=pytree.tree_structure((args, {**kwargs, **dict.fromkeys(added, 0)})),
        out_spec=pytree.tree_structure((returned, tuple(added))),
        forward_arg_names=None if names is None else [*names, *added],
    )
    return [replace(whole, signature=extended), *others]
