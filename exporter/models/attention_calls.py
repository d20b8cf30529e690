"""Hands out the attention calls of a program while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.fx
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.program import module_path
from attnexport.models.running import ProgramRunner
from attnexport.variants import Variant, variant_of_torch_op

SOFTMAX = torch.ops.aten.scaled_dot_product_attention.default
"""Torch's own softmax attention."""


@dataclass(frozen=True)
class OperatorCall:
    """An attention operator and what it was called with.

    Attributes:
        layer: path of the calling module, as ``blocks.3.attention``, or the node's name.
        variant: whose operator it is, None for torch's softmax attention.
        args, kwargs: what it was called with.
    """

    layer: str
    variant: Variant | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def is_attention(node: torch.fx.Node) -> bool:
    """Whether a node calls an operator of attnexport or torch's softmax attention."""
    return node.target is SOFTMAX or variant_of_torch_op(node.target) is not None


class _Observer(torch.fx.Interpreter):
    def __init__(self, graph: torch.fx.GraphModule, visit: Callable[[OperatorCall], None]) -> None:
        super().__init__(graph)
        self._visit = visit
        self._node: torch.fx.Node | None = None

    def run_node(self, n: torch.fx.Node) -> Any:
        self._node = n
        return super().run_node(n)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        if isinstance(value, torch.fx.GraphModule):
            return lambda *inputs: _Observer(value, self._visit).run(*inputs)
        return value

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        assert self._node is not None
        if is_attention(self._node):
            layer = module_path(self._node) or self._node.name
            self._visit(OperatorCall(layer, variant_of_torch_op(target), args, kwargs))
        return super().call_function(target, args, kwargs)


def visit_calls(program: ExportedProgram, tensors: Sequence[Tensor], visit: Callable[[OperatorCall], None]) -> None:
    """Runs the program once and calls ``visit`` for every attention call, in order, before it is computed."""
    ProgramRunner(program).run(tensors, partial(_Observer, visit=visit))
