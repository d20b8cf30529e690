"""Separability of one row by a slow loop, from section 3 of the notes on arXiv 2602.01893."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Vector = Sequence[float]


@dataclass(frozen=True)
class Row:
    """Figures of one row and what their bounds are made of."""

    precision: float
    recall: float
    f_score: float
    margin: float
    inversions: int


def euclidean(x: Vector, y: Vector) -> float:
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def cosine(x: Vector, y: Vector) -> float:
    lengths = math.sqrt(math.fsum(a * a for a in x)) * math.sqrt(math.fsum(b * b for b in y))
    return 1 - math.fsum(a * b for a, b in zip(x, y, strict=True)) / (lengths + 1e-12)


DISTANCES = {"euclidean": euclidean, "cosine": cosine}


def separation(weights: Vector, values: Sequence[Vector], chosen: set[int], distance: str) -> Row:
    """The figures of one row for a selection."""
    n = len(chosen)
    contributions = [[weight * part for part in value] for weight, value in zip(weights, values, strict=True)]
    centre = [math.fsum(contributions[i][axis] for i in chosen) for axis in range(len(values[0]))]
    away = [DISTANCES[distance](contribution, centre) for contribution in contributions]
    inside = [away[i] for i in chosen]
    outside = [away[j] for j in range(len(away)) if j not in chosen]
    precision = n / (n + sum(far <= max(inside) for far in outside))
    recall = sum(near < min(outside) for near in inside) / n
    f_score = 2 * precision * recall / (precision + recall)
    inversions = sum(far <= near for near in inside for far in outside)
    return Row(precision, recall, f_score, min(outside) - max(inside), inversions)


def most_attended(weights: Vector, n: int) -> set[int]:
    return set(sorted(range(len(weights)), key=lambda i: (-weights[i], i))[:n])
