"""Where a file can be compared with PyTorch inside: its tensors that are also values of the program."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.graph.nodes import variant_nodes
from attnexport.graph.torch_values import read_torch_values
from attnexport.models.attention_calls import is_attention
from attnexport.models.program import module_path
from attnexport.variants.registry import variant_of_torch_op

_NUMBERED = re.compile(r"^(?:.*\.)?\d+(?=\.|$)")


@dataclass(frozen=True)
class Tap:
    """A floating tensor of a file that is also a value of the program.

    Attributes:
        tensor: its name in the file.
        node: name of the program's node that computes it in PyTorch.
        module: path of the PyTorch module, as ``blocks.3.attention``; empty for the model itself.
        op: what computes it in PyTorch, as ``aten.linear``.
        attention: whether that is an attention call.
    """

    tensor: str
    node: str
    module: str
    op: str
    attention: bool = False


def tap_at(tensor: str, node: torch.fx.Node) -> Tap:
    """The tap of a file's tensor that is this node's value."""
    op = str(node.target).removesuffix(".default") if node.op == "call_function" else node.op
    return Tap(tensor, node.name, module_path(node), op, is_attention(node))


def file_taps(program: ExportedProgram, model: ir.Model) -> tuple[list[Tap], list[str]]:
    """Every tap of a file in the file's order, and notes.

    A file that carries no names of PyTorch values is tapped at its attention nodes, in order.
    """
    nodes = {node.name: node for node in program.graph.nodes if _is_floating(node)}
    named = read_torch_values(model)
    if named:
        return [tap_at(value, nodes[name]) for value, name in named.items() if name in nodes], []
    calls = [node for node in nodes.values() if variant_of_torch_op(node.target) is not None]
    found = variant_nodes(model.graph)
    if [variant for _, variant in found] != [variant_of_torch_op(call.target) for call in calls]:
        return [], ["the file does not say which of its tensors are which values of the model: nothing was tapped"]
    taps = [tap_at(node.outputs[0].name or "", call) for (node, _), call in zip(found, calls, strict=True)]
    return taps, ["the file does not say which of its tensors are which values of the model: only attention was tapped"]


def _is_floating(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def layer_ends(taps: Sequence[Tap]) -> list[int]:
    """Positions of the taps that tell layers apart: attention calls, and the last of each run inside one block.

    A block is the numbered module around an attention call, as ``blocks.3`` around ``blocks.3.attention``.
    """
    blocks = {match.group() for tap in taps if tap.attention and (match := _NUMBERED.match(tap.module))}

    def block_of(position: int) -> str:
        module = taps[position].module
        return next((block for block in blocks if module == block or module.startswith(f"{block}.")), "")

    runs = [list(run) for _, run in itertools.groupby(range(len(taps)), key=block_of)]
    return sorted({run[-1] for run in runs} | {position for position, tap in enumerate(taps) if tap.attention})
