"""How much error is allowed: twice PyTorch's own at the same precision, plus a floor.

    max|out - ref64| <= 2 max|torch - ref64| + floor max|ref64|

FlashAttention's rule: a deployed file may err twice as much as a plain implementation of the same precision, and
no tolerance is pulled from the air. The floor is a few roundings of the result, for the case that PyTorch was
exact; it is the largest floor among the variants that the model uses.

PyTorch's error is one draw of what rounding can do. An output beyond the limit is therefore looked at again: the
float64 program runs with every value rounded at random. Where that alone goes beyond the limit, the model itself is
unstable, and what random rounding does counts in place of PyTorch's error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram

from attnexport.variants import ErrorFloor, Variant, variant_of_torch_op

TORCH_ERROR_FACTOR = 2.0


@dataclass(frozen=True)
class Override:
    """Another allowance than the rule's, which somebody gave a reason for.

    Attributes:
        name: the output or layer.
        reason: why, as the budget file says.
        limit: largest allowed absolute error. Default: None, by factor.
        factor: times PyTorch's own error, in place of 2. Default: None, by limit.
    """

    name: str
    reason: str
    limit: float | None = None
    factor: float | None = None

    @property
    def allowance(self) -> str:
        """What it allows, in words."""
        return f"{self.factor:g} times PyTorch's error" if self.limit is None else f"an error of {self.limit:g}"


@dataclass(frozen=True)
class Budget:
    """Allowed error of one output.

    Attributes:
        torch_error: max|torch - ref64| at the contender's precision.
        floor: absolute floor.
        override: what replaces the rule. Default: None, nothing.
        rounding_error: how far random rounding moves the result, where that was looked at. Default: 0.
    """

    torch_error: float
    floor: float
    override: Override | None = None
    rounding_error: float = 0.0

    @property
    def limit(self) -> float:
        """Largest allowed absolute error."""
        return self._limit(self.rounding_error if self.unstable else self.torch_error)

    @property
    def unstable(self) -> bool:
        """Whether rounding alone moves the result beyond what PyTorch's error allows."""
        return self.rounding_error > self._limit(self.torch_error)

    def _limit(self, error: float) -> float:
        if self.override is not None and self.override.limit is not None:
            return self.override.limit
        factor = None if self.override is None else self.override.factor
        return (TORCH_ERROR_FACTOR if factor is None else factor) * error + self.floor


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
