"""How far a model's inputs can be scaled until products of the values inside come near half precision's limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.fx
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.interpreting import PrecisionInterpreter
from attnexport.models.running import ProgramRunner

HALF_LIMIT = torch.finfo(torch.float16).max


class _Largest(PrecisionInterpreter):
    """Notes the largest magnitude that half precision can hold among all values; masks are beyond it."""

    largest = 0.0

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, Tensor) and value.is_floating_point():
            sizes = value.abs()
            held = sizes[sizes <= HALF_LIMIT]
            self.largest = max(self.largest, float(held.max()) if held.numel() else 0.0)
        return value


def is_scalable(tensor: Tensor) -> bool:
    """Whether an input has values that can be scaled."""
    return tensor.is_floating_point() and tensor.numel() > 0


def scaled(tensors: Sequence[Tensor], scale: float) -> list[Tensor]:
    """The inputs with floating values times ``scale``."""
    return [tensor * scale if is_scalable(tensor) else tensor for tensor in tensors]


def largest_scale(program: ExportedProgram, tensors: Sequence[Tensor]) -> float:
    """The largest power of two that keeps squares of all values below half's limit; at most 1 when there is none.

    So large, scores of attention come near that limit too.
    """
    runner = ProgramRunner(program)

    def largest_inside(scale: float) -> float:
        interpreter = _Largest(runner.graph, torch.float64)
        inputs = scaled(tensors, scale)
        runner.run(inputs, lambda _: interpreter, torch.float64)
        given = [float(tensor.abs().max()) for tensor in inputs if is_scalable(tensor)]
        return max(interpreter.largest, *given, 0.0)

    wanted = math.sqrt(HALF_LIMIT)
    exponent = math.floor(math.log2(wanted / max(largest_inside(1.0), 1 / HALF_LIMIT)))
    while exponent > 0 and largest_inside(2.0**exponent) > wanted:
        exponent -= 1
    return 2.0**exponent
