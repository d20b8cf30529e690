"""Runs an exported program in float64, whatever precision it was exported in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.program import call_leaves

_NARROW = {torch.float16, torch.bfloat16, torch.float32}


def _widen(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in _NARROW:
        return value.double()
    if isinstance(value, torch.dtype) and value in _NARROW:
        return torch.float64
    return value


class _WideInterpreter(torch.fx.Interpreter):
    """Interprets a graph with every floating tensor, and every floating dtype it names, as float64."""

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        if isinstance(value, torch.fx.GraphModule):
            return _interpreted(value)
        return _widen(value)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        return _widen(super().placeholder(target, args, kwargs))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is torch.ops.aten._assert_tensor_metadata.default:
            return None
        args, kwargs = pytree.tree_map(_widen, (args, kwargs))
        if target is torch.ops.higher_order.wrap_with_autocast:
            device, dtype, _, *rest = args
            args = (device, dtype, False, *rest)
        return super().call_function(target, args, kwargs)


def _interpreted(graph: torch.fx.GraphModule) -> Callable[..., Any]:
    """A nested graph, as of torch.no_grad blocks, as a function."""
    return lambda *args: _WideInterpreter(graph).run(*args)


@contextlib.contextmanager
def _float64_by_default() -> Iterator[None]:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


class Reference:
    """The float64 reference of a program.

    Args:
        program: the exported program; it is not changed.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        graph = program.module(check_guards=False)
        assert isinstance(graph, torch.fx.GraphModule)
        self._interpreter = _WideInterpreter(graph)

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Output tensors for the input tensors, given in the order of the program's inputs."""
        leaves = call_leaves(self._program, tensors)
        with torch.no_grad(), _float64_by_default():
            outputs = pytree.tree_leaves(self._interpreter.run(*leaves, enable_io_processing=False))
        return [value for value in outputs if isinstance(value, Tensor)]
