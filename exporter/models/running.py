"""One way to run a program in PyTorch: each run starts from the state that the program came with.

What a forward writes in place, be it a buffer, a constant or its own input, is a copy that the next run does not see.
Neither the program nor the caller's tensors are changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.models.interpreting import Interpreter, Rounding, StopRunning, Visit
from attnexport.models.program import call_leaves
from attnexport.models.state.writes import writes_in_place


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What torch makes floating tensors of while nobody names a dtype."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


class ProgramRunner:
    """Runs a program without gradients, every time on fresh state.

    Args:
        program: the exported program; it is not changed.

    Attributes:
        graph: the program's graph with its weights, which runs interpret.
        calls: nodes of that graph by the program's names for them; parameters take names too, so that the two differ.
    """

    def __init__(self, program: ExportedProgram) -> None:
        graph = program.module(check_guards=False)
        assert isinstance(graph, torch.fx.GraphModule)
        self._program, self.graph = program, graph
        self.calls = _same_calls(program.graph, graph.graph)
        self._writes = writes_in_place(graph)
        self._state = _with_own_state(graph) if self._writes else []

    def run(
        self,
        tensors: Sequence[Tensor],
        dtype: torch.dtype | None = None,
        rounding: Rounding | None = None,
        visit: Visit | None = None,
    ) -> list[Tensor]:
        """Output tensors in order, as :meth:`Model.run`."""
        dtype = torch.float64 if rounding is not None else dtype
        with torch.no_grad(), default_dtype(dtype or torch.get_default_dtype()):
            for own, initial in self._state:
                own.copy_(initial)
            leaves = call_leaves(self._program, [self._fresh(tensor) for tensor in tensors])
            try:
                outputs = Interpreter(self.graph, dtype, rounding, visit).run(*leaves, enable_io_processing=False)
            except StopRunning:
                return []
        return [value for value in pytree.tree_leaves(outputs) if isinstance(value, Tensor)]

    def _fresh(self, tensor: Tensor) -> Tensor:
        return tensor.clone() if self._writes else tensor


def _with_own_state(graph: torch.fx.GraphModule) -> list[tuple[Tensor, Tensor]]:
    """Gives a module copies of its tensors in place of the program's; each copy with what it starts from."""
    copies: dict[int, tuple[Tensor, Tensor]] = {}

    def copy_of(tensor: Tensor) -> Tensor:
        return copies.setdefault(id(tensor), (tensor.detach().clone(), tensor.detach()))[0]

    for module in graph.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(copy_of(parameter), requires_grad=False)
        for held in (module._buffers, module.__dict__):
            held.update({name: copy_of(value) for name, value in held.items() if isinstance(value, Tensor)})
    return list(copies.values())


def _same_calls(program: torch.fx.Graph, module: torch.fx.Graph) -> dict[str, torch.fx.Node]:
    """The module's calls by the names of the same calls in the program.

    A module may have more calls behind those of the program; empty should it have other ones.
    """
    ours, theirs = ([node for node in graph.nodes if node.op == "call_function"] for graph in (program, module))
    if [node.target for node in ours] != [node.target for node in theirs[: len(ours)]]:
        return {}
    return {node.name: same for node, same in zip(ours, theirs, strict=False)}
