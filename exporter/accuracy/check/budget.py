"""How much error is allowed: twice PyTorch's own at the same precision, plus a floor.

    max|out - ref64| <= 2 max|torch - ref64| + floor max|ref64|

FlashAttention's rule: a deployed file may err twice as much as a plain implementation of the same precision, and
no tolerance is pulled from the air. The floor is a few roundings of the result, for the case that PyTorch was
exact; it is the largest floor among the variants that the model uses.

PyTorch's error is one draw of what rounding can do. An output beyond the limit is therefore looked at again: the
float64 program runs with every value rounded at random. Where that alone goes beyond the limit, the model itself is
unstable, and what random rounding does counts in place of PyTorch's error.

Neither excuse is without end. An error that instability alone excuses may be ROUNDING_L2 in relative L2, and on
ordinary inputs none may be more than ORDINARY_L2, however much PyTorch errs itself; beyond, a budget file must say why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from attnexport.accuracy.check.override import Override
from attnexport.display.amounts import times
from attnexport.variants.spec import ErrorFloor, Variant

TORCH_ERROR_FACTOR = 2.0

ROUNDING_L2 = 0.01
"""Relative L2 up to which an error is excused by what random rounding does to the model."""

ORDINARY_L2 = 0.1
"""Relative L2 up to which an error on ordinary inputs is excused by PyTorch's own."""

ROUNDING_MISMATCHES, ORDINARY_MISMATCHES = 0.01, 0.1
"""The same for outputs that must be equal, as shares of their elements."""


@dataclass(frozen=True)
class Budget:
    """Allowed error of one output.

    Attributes:
        torch_error: max|torch - ref64| at the contender's precision.
        floor: absolute floor.
        override: what replaces the rule. Default: None, nothing.
        rounding_error: how far random rounding moves the result, where that was looked at. Default: 0.
        torch_l2, rounding_l2: the same errors in relative L2. Default: 0.
        largest_l2: relative L2 that no error may exceed without an override. Default: None, any.
    """

    torch_error: float
    floor: float
    override: Override | None = None
    rounding_error: float = 0.0
    torch_l2: float = 0.0
    rounding_l2: float = 0.0
    largest_l2: float | None = None

    @property
    def limit(self) -> float:
        """Largest allowed absolute error."""
        return self._limit(self.rounding_error if self.unstable else self.torch_error)

    def share(self, largest_error: float, relative_l2: float) -> float:
        """Share of the budget that errors use: above 1 is outside."""
        bound = self.l2_bound(largest_error)
        used = 0.0 if bound is None else relative_l2 / bound
        if self.limit > 0:
            return max(used, largest_error / self.limit)
        return math.inf if largest_error > 0 else used

    def l2_bound(self, largest_error: float) -> float | None:
        """Relative L2 that bounds an error of this size, None where nothing does."""
        if self.override is not None:
            return None
        excused = self.unstable and largest_error > self.limit_of_torch
        bounds = [bound for bound in (ROUNDING_L2 if excused else None, self.largest_l2) if bound is not None]
        return min(bounds, default=None)

    @property
    def limit_of_torch(self) -> float:
        """What PyTorch's own error allows."""
        return self._limit(self.torch_error)

    @property
    def unstable(self) -> bool:
        """Whether rounding alone moves the result beyond what PyTorch's error allows."""
        return self.rounding_error > self.limit_of_torch

    def _limit(self, error: float) -> float:
        if self.override is not None and self.override.limit is not None:
            return self.override.limit
        factor = None if self.override is None else self.override.factor
        return (TORCH_ERROR_FACTOR if factor is None else factor) * error + self.floor


def beyond(budget: Budget, largest_error: float, relative_l2: float) -> tuple[str, str]:
    """What of an error counts against a budget, and how that compares with what is allowed."""
    bound = budget.l2_bound(largest_error)
    if bound is not None and relative_l2 > bound and largest_error <= budget.limit:
        why = "that instability excuses" if bound == ROUNDING_L2 else "that PyTorch's own error excuses"
        return f"relative L2 error {relative_l2:.3g}", f"is {times(relative_l2 / bound)} times the {bound:g} {why}"
    size = f"largest error {largest_error:.3g}"
    if not budget.limit:
        return size, "is more than none allowed"
    return size, f"is {times(largest_error / budget.limit)} times the allowed {budget.limit:.3g}"


def relative_floor(variants: Iterable[Variant], dtype: torch.dtype) -> float:
    """The floor as a share of max|ref64| for outputs of this dtype.

    Double outputs get single precision's: ONNX holds attributes, such as scales and epsilons, in float32.
    """
    precision = torch.float32 if dtype == torch.float64 else dtype
    floors = [ErrorFloor(), *(variant.floor for variant in variants)]
    return max(floor.at(precision) for floor in floors)
