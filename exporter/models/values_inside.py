"""Hands out the values between a program's inputs and outputs while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
import torch.fx
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.examples import generator
from attnexport.models.interpreting import PrecisionInterpreter
from attnexport.models.rounding import RoundingInterpreter
from attnexport.models.running import ProgramRunner

Visit = Callable[[str, Tensor], None]
"""Takes a node's name and its value. The value may be changed in place later: keep a copy."""


class _Finished(Exception):
    """The last wanted value was handed out."""


class _Watched(torch.fx.Interpreter):
    visit: Visit | None = None
    waiting: Mapping[str, str] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if self.visit is not None and n.name in self.waiting:
            self.visit(self.waiting[n.name], value)
            self.waiting = {name: wanted for name, wanted in self.waiting.items() if name != n.name}
            if not self.waiting:
                raise _Finished
        return value


class _WatchedAtPrecision(_Watched, PrecisionInterpreter):
    pass


class _WatchedRounding(_Watched, RoundingInterpreter):
    pass


class WatchedProgram:
    """A program whose values can be seen while it runs.

    Args:
        program: the exported program; it is not changed.

    Attributes:
        nodes: names of the program's nodes whose values can be seen.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self._runner = ProgramRunner(program)
        self._names = _same_nodes(program.graph, self._runner.graph.graph)
        self.nodes = frozenset(self._names)

    def run(self, tensors: Sequence[Tensor], dtype: torch.dtype | None, wanted: Collection[str], visit: Visit) -> None:
        """Runs the program as far as the last value that is wanted.

        Args:
            tensors: in the order of the program's inputs.
            dtype: what every floating tensor is held in; None for the program's own.
            wanted: names among ``nodes``.
            visit: is called for each of them, in the program's order; values are not kept.
        """
        graph = self._runner.graph
        interpreter = _Watched(graph) if dtype is None else _WatchedAtPrecision(graph, dtype)
        self._run(interpreter, dtype, tensors, wanted, visit)

    def run_rounded(
        self, tensors: Sequence[Tensor], precision: torch.dtype, seed: int, wanted: Collection[str], visit: Visit
    ) -> None:
        """The same in float64, with every value rounded at random to a precision; one seed is one draw."""
        interpreter = _WatchedRounding(self._runner.graph, precision, generator(seed))
        self._run(interpreter, torch.float64, tensors, wanted, visit)

    def _run(
        self,
        interpreter: _Watched,
        dtype: torch.dtype | None,
        tensors: Sequence[Tensor],
        wanted: Collection[str],
        visit: Visit,
    ) -> None:
        if not wanted:
            return
        interpreter.visit, interpreter.waiting = visit, {self._names[name]: name for name in wanted}
        interpreter.extra_traceback = False
        with contextlib.suppress(_Finished):
            self._runner.run(tensors, lambda _: interpreter, dtype)


def _same_nodes(program: torch.fx.Graph, module: torch.fx.Graph) -> dict[str, str]:
    """The program's calls by name, with the names of the same calls in its module, where parameters take names too.

    A module may have more calls behind those of the program; empty should it have other ones.
    """
    calls, theirs = ([node for node in graph.nodes if node.op == "call_function"] for graph in (program, module))
    if [node.target for node in calls] != [node.target for node in theirs[: len(calls)]]:
        return {}
    return {one.name: other.name for one, other in zip(calls, theirs, strict=False)}
