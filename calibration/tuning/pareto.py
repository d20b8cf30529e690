"""Which of several files nothing beats."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Positions of the points that no other equals or beats in both numbers; of equal ones the first."""
    found: set[int] = set()
    least = float("inf")
    for position in sorted(range(len(points)), key=lambda position: (points[position], position)):
        if points[position][1] < least:
            least = points[position][1]
            found.add(position)
    return found
