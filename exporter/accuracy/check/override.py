"""What a user allows in place of the budget's rule."""

from __future__ import annotations

from dataclasses import dataclass


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
