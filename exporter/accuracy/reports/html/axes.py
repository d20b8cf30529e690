"""Logarithmic axes: where a value lies on a drawing, and which values get a tick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """Where a drawing has its plot, in its own units.

    Attributes:
        width, height: of the drawing.
        left, right, top, bottom: edges of the plot; outside of it are the labels.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Tick:
    """A value beside an axis.

    Attributes:
        at: where, in the drawing's units.
        label: the value; of a power of ten its exponent behind ``^``.
    """

    at: float
    label: str


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis.

    Attributes:
        low, high: decimal logarithms at its ends, low < high.
        start, end: the ends in the drawing's units; start may be the larger one.
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of_decades(cls, values: Iterable[float], start: float, end: float) -> LogAxis:
        """An axis of whole decades around positive finite values; others are left out."""
        logs = [math.log10(value) for value in values if 0 < value < math.inf]
        low, high = (math.floor(min(logs)), math.ceil(max(logs))) if logs else (-1, 0)
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """Where a positive value lies, at an end where it is beyond it."""
        return self._at_log(math.log10(value))

    def ticks(self, most: int = 6) -> tuple[Tick, ...]:
        """Powers of ten, as many as ``most``."""
        first, last = math.ceil(self.low), math.floor(self.high)
        step = max(1, math.ceil((last - first + 1) / most))
        return tuple(Tick(self._at_log(power), _power(power)) for power in range(first, last + 1, step))

    def _at_log(self, log: float) -> float:
        share = (log - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def _power(exponent: int) -> str:
    if 0 <= exponent <= 3:
        return str(10**exponent)
    return f"10^{exponent}".replace("-", "−")
