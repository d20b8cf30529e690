"""One way to run a program in PyTorch: each run starts from the state that the program came with.

What a forward writes in place, be it a buffer, a constant or its own input, is a copy that the next run does not see.
Neither the program nor the caller's tensors are changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.models.program import call_leaves
from attnexport.models.state.writes import writes_in_place

MakeInterpreter = Callable[[torch.fx.GraphModule], torch.fx.Interpreter]
"""Makes what runs a graph."""


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
    """

    def __init__(self, program: ExportedProgram) -> None:
        graph = program.module(check_guards=False)
        assert isinstance(graph, torch.fx.GraphModule)
        self._program, self.graph = program, graph
        self._writes = writes_in_place(graph)
        self._state = _with_own_state(graph) if self._writes else []

    def run(
        self,
        tensors: Sequence[Tensor],
        interpreter: MakeInterpreter = torch.fx.Interpreter,
        dtype: torch.dtype | None = None,
    ) -> list[Tensor]:
        """Output tensors in order.

        Args:
            tensors: in the order of the program's inputs.
            interpreter: makes what runs the graph. Default: torch's own, the program as it was exported.
            dtype: what torch makes floating tensors of while nobody names a dtype. Default: None, as it is.
        """
        with torch.no_grad(), default_dtype(dtype or torch.get_default_dtype()):
            for own, initial in self._state:
                own.copy_(initial)
            leaves = call_leaves(self._program, [self._fresh(tensor) for tensor in tensors])
            outputs = interpreter(self.graph).run(*leaves, enable_io_processing=False)
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
