"""Models that no ONNX file can be held to: random ones, and those with complex inputs or outputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.fx
from torch.export import ExportedProgram

from attnexport.errors import ConversionError
from attnexport.messages import named
from attnexport.models.model import Model
from attnexport.models.program import module_path
from attnexport.models.state.writes import changes_arguments
from attnexport.models.torch_graphs import all_graphs, arguments_of

_TRAINING = ("train", "training")
_PROBABILITIES = ("p", "dropout", "dropout_p")


def refuse_unfit(model: Model) -> None:
    """Refuses a model whose outputs are drawn at random, or that takes or gives complex numbers.

    Raises:
        ConversionError: which operator of which module draws, or which input or output is complex, and what to do.
    """
    _refuse_complex(model)
    for node in _drawing(model.program):
        operator = str(node.target).removesuffix(".default")
        raise ConversionError(
            f"{module_path(node) or 'the model itself'} ({operator}): draws random numbers at every call, so that no "
            "file can give the same outputs: leave it out at inference (dropout: training=False, or model.eval() "
            "before the export), or make what it draws an input"
        )


def _refuse_complex(model: Model) -> None:
    for spec in model.inputs:
        if spec.dtype.is_complex:
            raise ConversionError(
                f"{named('input', spec.name)}: is complex, which ONNX has no type for: take real and imaginary "
                "parts in a last axis of 2 and begin with torch.view_as_complex"
            )
    for output in model.outputs:
        if output.dtype.is_complex:
            raise ConversionError(
                f"{named('output', output.name)}: is complex, which ONNX has no type for: return "
                "torch.view_as_real of it"
            )


def _drawing(program: ExportedProgram) -> Iterator[torch.fx.Node]:
    """The nodes that draw random numbers which something uses."""
    for graph in all_graphs(program.graph_module):
        yield from (node for node in _used(graph) if _draws(node))


def _used(graph: torch.fx.Graph) -> list[torch.fx.Node]:
    """The nodes that outputs, or changes in place, depend on, in order."""
    wanted: set[torch.fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in wanted or changes_arguments(node):
            wanted.update(node.all_input_nodes, [node])
    return [node for node in graph.nodes if node in wanted]


def _draws(node: torch.fx.Node) -> bool:
    """Whether an operator draws, as dropout does in training alone."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    given = arguments_of(node)
    training = [given[name] for name in _TRAINING if name in given]
    chances = [given[name] for name in _PROBABILITIES if name in given]
    return not (False in training or (chances and chances[0] in (0, None)))
