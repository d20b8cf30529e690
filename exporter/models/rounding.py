"""How far rounding alone can move a model's result: the float64 program with every value rounded at random.

Monte Carlo arithmetic (D. S. Parker, "Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic",
UCLA CSD-970002, 1997) applied to the values between operators. PyTorch's error at a precision is one draw from what
rounding can do. Where a model is unstable, as at keys whose scores nearly tie, another correct implementation can be
much further off than twice that draw; these runs tell such places from faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.fx
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.examples import generator
from attnexport.models.interpreting import PrecisionInterpreter
from attnexport.models.running import ProgramRunner


class RoundingInterpreter(PrecisionInterpreter):
    """Interprets a graph in float64 and moves every value that the precision cannot hold by up to one epsilon.

    Args:
        graph: the module of an exported program.
        precision: dtype whose epsilon values move by.
        random: where the moves are drawn from.
    """

    def __init__(self, graph: torch.fx.GraphModule, precision: torch.dtype, random: torch.Generator) -> None:
        super().__init__(graph, torch.float64)
        self._precision, self._random = precision, random

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        noise = torch.rand(value.shape, dtype=value.dtype, generator=self._random).mul_(2).sub_(1)
        moved = value * noise.mul_(torch.finfo(self._precision).eps).add_(1)
        return torch.where(value.to(self._precision).to(value.dtype) == value, value, moved)

    def _nested(self, graph: torch.fx.GraphModule) -> Callable[..., Any]:
        return lambda *args: RoundingInterpreter(graph, self._precision, self._random).run(*args)


class RandomlyRounded:
    """The float64 program with values rounded at random to a precision.

    Args:
        program: the exported program; it is not changed.
        precision: dtype whose epsilon values move by.
    """

    def __init__(self, program: ExportedProgram, precision: torch.dtype) -> None:
        self._runner, self._precision = ProgramRunner(program), precision

    def run(self, tensors: Sequence[Tensor], seed: int) -> list[Tensor]:
        """Output tensors of one draw; the same seed gives the same draw."""
        rounding = partial(RoundingInterpreter, precision=self._precision, random=generator(seed))
        return self._runner.run(tensors, rounding, torch.float64)
