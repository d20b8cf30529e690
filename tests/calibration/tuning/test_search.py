"""The search ends where the whole holds and nothing that was raised can go back, measures little and nothing twice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnexport.calibration.tuning.pareto import front
from attnexport.calibration.tuning.search import Ladder, Levels, Rung, ladder, search


def made_ladders(seed: int, layers: int = 12) -> tuple[Ladder, ...]:
    """Layers of several sizes, some far more sensitive than others, in 4 bits, 8 bits, half and as they are."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(layers):
        weights, error = int(random.integers(1, 20)), float(10 ** random.uniform(-4, -1))
        rungs = [
            Rung("four", weights, error * 8),
            Rung("eight", 2 * weights, error),
            Rung("half", 4 * weights, error / 50),
        ]
        made.append(ladder(rungs, Rung("floating", 8 * weights, 0.0)))
    return tuple(made)


class Whole:
    """Whether a bound holds where errors of layers add up as squares."""

    def __init__(self, ladders: tuple[Ladder, ...], bound: float) -> None:
        self.ladders, self.bound = ladders, bound
        self.asked: list[Levels] = []

    def error(self, levels: Levels) -> float:
        rungs = [rungs[level] for rungs, level in zip(self.ladders, levels, strict=True)]
        return math.sqrt(sum(rung.error**2 for rung in rungs))

    def cost(self, levels: Levels) -> float:
        return sum(rungs[level].cost for rungs, level in zip(self.ladders, levels, strict=True))

    def holds(self, levels: Levels) -> bool:
        self.asked.append(levels)
        return self.error(levels) <= self.bound


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bound", [1.0, 0.1, 0.01, 1e-4])
def test_what_is_found_holds_and_no_layer_can_go_back(seed: int, bound: float):
    whole = Whole(made_ladders(seed), bound)
    found = search(whole.ladders, whole.holds)
    assert whole.error(found) <= bound
    lower = [(*found[:at], level - 1, *found[at + 1 :]) for at, level in enumerate(found) if level]
    assert all(whole.error(levels) > bound for levels in lower)
    assert search(whole.ladders, whole.holds) == found


@pytest.mark.parametrize("seed", range(5))
def test_few_wholes_are_measured(seed: int):
    whole = Whole(made_ladders(seed, layers=40), 0.05)
    search(whole.ladders, whole.holds)
    assert len(set(whole.asked)) == len(whole.asked)
    assert len(whole.asked) < 70


def test_nothing_is_raised_where_the_cheapest_holds():
    whole = Whole(made_ladders(0), math.inf)
    assert search(whole.ladders, whole.holds) == (0,) * 12
    assert len(whole.asked) == 1


def test_mixed_files_cost_little_more_than_the_best_of_all():
    ladders = made_ladders(3, layers=6)
    whole = Whole(ladders, 0.03)
    found = search(ladders, whole.holds)
    every = np.ndindex(*(len(rungs) for rungs in ladders))
    best = min(whole.cost(levels) for levels in every if whole.error(levels) <= 0.03)
    assert whole.cost(found) <= 1.15 * best


def test_what_need_not_be_tried_is_not():
    whole = Whole(made_ladders(1), 0.01)
    found = search(whole.ladders, whole.holds, lambda held, other: whole.error(other) <= 0.01)
    asked = len(whole.asked)
    plain = Whole(made_ladders(1), 0.01)
    assert search(plain.ladders, plain.holds) == found
    assert asked < len(plain.asked)


def test_rungs_that_err_more_than_cheaper_ones_or_cost_more_than_floating_are_none():
    rungs = [Rung("a", 1, 0.5), Rung("b", 2, 0.7), Rung("c", 2, 0.1), Rung("d", 9, 0.0), Rung("e", 0, math.inf)]
    assert [rung.candidate for rung in ladder(rungs, Rung("top", 8, 0.0))] == ["a", "c", "top"]


def test_a_front_is_what_nothing_beats():
    points = [(1.0, 5.0), (2.0, 5.0), (2.0, 3.0), (3.0, 4.0), (2.0, 3.0), (9.0, 0.0)]
    assert front(points) == {0, 2, 5}
