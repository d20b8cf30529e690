"""Runs an exported program at any precision, whatever it was exported in; in float64 it is the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.running import ProgramRunner

_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


class PrecisionInterpreter(torch.fx.Interpreter):
    """Interprets a graph with every floating tensor, and every floating dtype it names, as one dtype.

    Args:
        graph: the module of an exported program.
        dtype: the floating dtype.
    """

    def __init__(self, graph: torch.fx.GraphModule, dtype: torch.dtype) -> None:
        super().__init__(graph)
        self._dtype = dtype

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        if isinstance(value, torch.fx.GraphModule):
            return self._nested(value)
        return self._cast(value)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._cast(super().placeholder(target, args, kwargs))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is torch.ops.aten._assert_tensor_metadata.default:
            return None
        args, kwargs = pytree.tree_map(self._cast, (args, kwargs))
        if target is torch.ops.higher_order.wrap_with_autocast:
            device, dtype, _, *rest = args
            args = (device, dtype, False, *rest)
        return super().call_function(target, args, kwargs)

    def _cast(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.dtype in _FLOATS:
            return value.to(self._dtype)
        if isinstance(value, torch.dtype) and value in _FLOATS:
            return self._dtype
        return value

    def _nested(self, graph: torch.fx.GraphModule) -> Callable[..., Any]:
        """A nested graph, as of torch.no_grad blocks, as a function."""
        return lambda *args: type(self)(graph, self._dtype).run(*args)


class Evaluator:
    """A program with every floating tensor in one dtype.

    Args:
        program: the exported program; it is not changed.
        dtype: the floating dtype of inputs, weights and everything between.
    """

    def __init__(self, program: ExportedProgram, dtype: torch.dtype) -> None:
        self._runner, self._dtype = ProgramRunner(program), dtype

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Output tensors for the input tensors, given in the order of the program's inputs."""
        return self._runner.run(tensors, partial(PrecisionInterpreter, dtype=self._dtype), self._dtype)


class Reference(Evaluator):
    """The float64 reference of a program.

    Args:
        program: the exported program; it is not changed.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__(program, torch.float64)
