"""How much error is allowed: twice PyTorch's own at the same precision, plus a floor.

    max|out - ref64| <= 2 max|torch - ref64| + floor max|ref64|

FlashAttention's rule: a deployed file may err twice as much as a plain implementation of the same precision, and
no tolerance is pulled from the air. The floor is a few roundings of the result, for the case that PyTorch was
exact; it is the largest floor among the variants that the model uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram

from attnexport.variants import ErrorFloor, Variant, variant_of_torch_op

TORCH_ERROR_FACTOR = 2.0


@dataclass(frozen=True)
class Budget:
    """Allowed error of one output.

    Attributes:
        torch_error: max|torch - ref64| at the model's own precision.
        floor: absolute floor.
    """

    torch_error: float
    floor: float

    @property
    def limit(self) -> float:
        """Largest allowed absolute error."""
        return TORCH_ERROR_FACTOR * self.torch_error + self.floor


def variants_of(program: ExportedProgram) -> tuple[Variant, ...]:
    """The variants that a program calls, without repetition, in order of first use."""
    found: dict[str, Variant] = {}
    for module in program.graph_module.modules():
        if not isinstance(module, torch.fx.GraphModule):
            continue
        for node in module.graph.nodes:
            variant = variant_of_torch_op(node.target)
            if variant is not None:
                found.setdefault(variant.name, variant)
    return tuple(found.values())


def relative_floor(variants: Iterable[Variant], dtype: torch.dtype) -> float:
    """The floor as a share of max|ref64| for outputs of this dtype.

    Double outputs get single precision's: ONNX holds attributes, such as scales and epsilons, in float32.
    """
    precision = torch.float32 if dtype == torch.float64 else dtype
    floors = [ErrorFloor(), *(variant.floor for variant in variants)]
    return max(floor.at(precision) for floor in floors)
