"""Searches for the cheapest rung of each layer's ladder at which the whole still holds.

All layers begin on their cheapest rungs. They are raised, a rung at a time, from the one that is most sensitive where
it stands: whose squared error falls most for what the next rung costs. The order is known beforehand, so that the first
point of it that holds is found by halving. Then those that were raised go back as long as the whole holds, the one that
saves most first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

Levels = tuple[int, ...]
"""The rung on which each layer stands."""


@dataclass(frozen=True)
class Rung:
    """What a layer can be computed in.

    Attributes:
        candidate: its name.
        cost: of the layer.
        error: that it causes alone.
    """

    candidate: str
    cost: float
    error: float


Ladder = tuple[Rung, ...]
"""From the cheapest to what the layer is in the floating file; each errs less than those before it."""


def ladder(rungs: Sequence[Rung], top: Rung) -> Ladder:
    """The rungs worth standing on, and the top: squared errors fall by less and less for what the next rung costs."""
    kept: list[Rung] = []
    usable = [rung for rung in rungs if rung.cost < top.cost and math.isfinite(rung.error)]
    for rung in sorted(usable, key=lambda rung: (rung.cost, rung.error)):
        if not kept or (rung.error < kept[-1].error and rung.cost > kept[-1].cost):
            _climb(kept, rung)
    _climb(kept, top)
    return tuple(kept)


def search(
    ladders: Sequence[Ladder],
    holds: Callable[[Levels], bool],
    worth_trying: Callable[[Levels, Levels], bool] = lambda held, other: True,
) -> Levels:
    """Where each layer should stand.

    Args:
        ladders: of the layers.
        holds: whether the bounds hold there; they do where all layers are at their tops.
        worth_trying: whether they may hold at the second where they do at the first. Default: always.
    """
    holds, cheapest = cache(holds), (0,) * len(ladders)
    if holds(cheapest):
        return cheapest
    levels = _first_that_holds(_raised(ladders), holds)
    raised = [layer for layer, level in enumerate(levels) if level]
    for layer in sorted(raised, key=lambda layer: (-_saved(ladders[layer], levels[layer]), layer)):
        while levels[layer]:
            lower = _moved(levels, layer, -1)
            if not (worth_trying(levels, lower) and holds(lower)):
                break
            levels = lower
    return levels


def _climb(kept: list[Rung], rung: Rung) -> None:
    """Puts a rung on those below it, without those that it makes a detour."""
    while len(kept) > 1 and _gain(kept[-2], rung) >= _gain(kept[-2], kept[-1]):
        kept.pop()
    kept.append(rung)


def _gain(lower: Rung, higher: Rung) -> float:
    """By how much the squared error falls for what is paid."""
    return (lower.error**2 - higher.error**2) / (higher.cost - lower.cost)


def _raised(ladders: Sequence[Ladder]) -> list[Levels]:
    """All cheapest, then one layer a rung higher at a time, the most sensitive; in the end all at their tops."""
    path = [(0,) * len(ladders)]
    while True:
        levels = path[-1]
        left = [layer for layer, rungs in enumerate(ladders) if levels[layer] < len(rungs) - 1]
        if not left:
            return path
        gains = [_gain(*ladders[layer][levels[layer] : levels[layer] + 2]) for layer in left]
        path.append(_moved(levels, left[gains.index(max(gains))], 1))


def _first_that_holds(path: Sequence[Levels], holds: Callable[[Levels], bool]) -> Levels:
    """By halving; the first does not hold, and the last does."""
    fails, held = 0, len(path) - 1
    while held - fails > 1:
        middle = (fails + held) // 2
        if holds(path[middle]):
            held = middle
        else:
            fails = middle
    return path[held]


def _saved(rungs: Ladder, level: int) -> float:
    return rungs[level].cost - rungs[level - 1].cost


def _moved(levels: Levels, layer: int, by: int) -> Levels:
    return (*levels[:layer], levels[layer] + by, *levels[layer + 1 :])
