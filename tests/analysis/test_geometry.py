"""Geometry of selections: by hand, against a slow loop, its bounds, its random controls."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

import attnexport
from attnexport.variants.geometry import Separation, geometry_of_weights
from tests.analysis.formulas import most_attended, separation

FIGURES = ("precision", "recall", "f_score", "margin")
both = pytest.mark.parametrize("distance", ["euclidean", "cosine"])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_row(weights: list[float], values: list[list[float]], n: int, distance: str = "euclidean") -> list[float]:
    geometry = geometry_of_weights(
        torch.tensor(weights, dtype=torch.float64)[None, None, None],
        torch.tensor(values, dtype=torch.float64)[None, None],
        n,
        torch.ones(1, dtype=torch.bool),
        distance=distance,
        random_controls=0,
    )
    return [float(getattr(geometry.selected, name)) for name in FIGURES]


def rows_of(figures: Separation) -> list[list[float]]:
    return torch.stack([getattr(figures, name).flatten() for name in FIGURES], dim=-1).tolist()


def softmax(q: Tensor, k: Tensor, causal: bool = False) -> Tensor:
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1 + k.shape[2] - q.shape[2])
        scores = scores.masked_fill(hidden, -torch.inf)
    return torch.softmax(scores, -1)


EYE = torch.eye(4).tolist()


@pytest.mark.parametrize(
    ("weights", "values", "n", "distance", "expected"),
    [
        ([0.4, 0.3, 0.2, 0.1], EYE, 2, "euclidean", [1, 1, 1, math.sqrt(0.26) - 0.4]),
        ([0.4, 0.3, 0.2, 0.1], EYE, 2, "cosine", [1, 1, 1, 1 - 0.4]),
        ([0.1, 0.3, 0.2, 0.4], EYE, 3, "cosine", [1, 1, 1, 0.2 / math.sqrt(0.29)]),
        ([0.5, 0.3, 0.2], [[1], [-1], [1]], 2, "euclidean", [2 / 3, 0, 0, -0.5]),
        ([0.5, 0.3, 0.2], [[1], [-1], [-1]], 2, "euclidean", [2 / 3, 1 / 2, 4 / 7, -0.1]),
        ([0.5, 0.25, 0.25], [[1], [-1], [3]], 2, "euclidean", [2 / 3, 1 / 2, 4 / 7, 0.0]),
        ([0.4, 0.4, 0.1, 0.1], [[1], [-1], [1], [1]], 2, "cosine", [1 / 2, 0, 0, 0]),
    ],
    ids=["orthogonal", "orthogonal angles", "last", "intruder", "half inside", "tie counts against", "centre at zero"],
)
def test_cases_computed_by_hand(weights, values, n, distance, expected):
    assert one_row(weights, values, n, distance) == pytest.approx(expected, abs=1e-11)


def test_equal_weights_are_selected_from_the_left():
    contributions = [[1.25], [0.0], [1.5], [1.25]]
    values = [[4 * part for part in row] for row in contributions]
    wanted = separation([0.25] * 4, values, {0, 1}, "euclidean")
    assert one_row([0.25] * 4, values, 2) == [getattr(wanted, name) for name in FIGURES]


@both
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("causal", [False, True])
def test_figures_equal_a_slow_loop(distance, n, causal):
    q, k, v = draw(2, 4, 5, 6), draw(2, 2, 9, 6, seed=1), draw(2, 2, 9, 3, seed=2)
    geometry = attnexport.attention_geometry(q, k, v, n, distance=distance, causal=causal, random_controls=1)
    weights = softmax(q, k.repeat_interleave(2, 1), causal)
    given = torch.stack([getattr(geometry.selected, name) for name in FIGURES], dim=-1)
    for b, h, i in itertools.product(range(2), range(4), range(5)):
        seen = 9 - 4 + i if causal else 9
        if seen <= n:
            assert given[b, h, i].isnan().all()
            continue
        row = weights[b, h, i, :seen].tolist()
        wanted = separation(row, v[b, h // 2, :seen].tolist(), most_attended(row, n), distance)
        assert given[b, h, i].tolist() == pytest.approx([getattr(wanted, name) for name in FIGURES], abs=1e-12)


@both
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_bounds_by_inversions_hold(distance, n):
    weights, v = torch.softmax(3 * draw(1, 1, 300, 8), -1), draw(1, 1, 8, 2, seed=1) + 1
    visible = torch.ones(1, dtype=torch.bool)
    geometry = geometry_of_weights(weights, v, n, visible, distance=distance, random_controls=0)
    separable = 0
    for row, figures in zip(weights[0, 0].tolist(), rows_of(geometry.selected), strict=True):
        precision, recall, f_score, margin = figures
        inversions = separation(row, v[0, 0].tolist(), most_attended(row, n), distance).inversions
        assert precision >= n / (n + inversions) - 1e-15
        assert recall >= max(0.0, 1 - inversions / n) - 1e-15
        assert (margin > 0) == (inversions == 0) == (precision == recall == f_score == 1)
        separable += margin > 0
    assert separable > 0
    assert separable < 300 or n == 1


def test_euclidean_single_key_is_separable_whatever_is_selected():
    geometry = attnexport.attention_geometry(draw(1, 2, 7, 4), draw(1, 2, 9, 4, seed=1), draw(1, 2, 9, 4, seed=2), 1)
    for figures in (geometry.selected, geometry.random):
        for name in ("precision", "recall", "f_score"):
            assert (getattr(figures, name) == 1).all()
        assert (figures.margin > 0).all()


@both
def test_random_controls_depend_on_the_seed_alone(distance):
    inputs = draw(1, 2, 7, 4), draw(1, 2, 9, 4, seed=1), draw(1, 2, 9, 4, seed=2)
    first, again, other = (
        attnexport.attention_geometry(*inputs, 3, distance=distance, seed=seed) for seed in (5, 5, 6)
    )
    assert rows_of(first.random) == rows_of(again.random)
    assert rows_of(first.random) != rows_of(other.random)
    assert rows_of(first.selected) == rows_of(other.selected)


def test_every_random_control_is_a_selection_of_the_same_size_around_its_own_centre():
    weights, v = torch.softmax(draw(1, 1, 40, 5), -1), draw(1, 1, 5, 3, seed=1)
    geometry = geometry_of_weights(weights, v, 2, torch.ones(1, dtype=torch.bool), random_controls=1)
    found = set()
    for row, figures in zip(weights[0, 0].tolist(), rows_of(geometry.random), strict=True):
        pairs = list(itertools.combinations(range(5), 2))
        rows = [separation(row, v[0, 0].tolist(), set(pair), "euclidean") for pair in pairs]
        matches = [pair for pair, wanted in zip(pairs, rows, strict=True) if wanted.margin == pytest.approx(figures[3])]
        assert matches
        found.update(matches)
    assert len(found) == 10


def test_random_figures_are_means_over_all_selections():
    weights, v = torch.softmax(draw(1, 1, 1, 6), -1), draw(1, 1, 6, 2, seed=1)
    geometry = geometry_of_weights(weights, v, 3, torch.ones(1, dtype=torch.bool), random_controls=2000)
    every = [
        separation(weights[0, 0, 0].tolist(), v[0, 0].tolist(), set(chosen), "euclidean").f_score
        for chosen in itertools.combinations(range(6), 3)
    ]
    spread = torch.tensor(every).std() / 2000**0.5
    assert abs(float(geometry.random.f_score) - sum(every) / len(every)) < 5 * spread


@pytest.mark.parametrize(("rows", "n", "undefined"), [(9, 2, 2), (9, 8, 8), (2, 7, 0), (2, 8, 1)])
def test_causal_rows_with_too_few_keys_are_undefined(rows, n, undefined):
    inputs = draw(1, 1, rows, 4), draw(1, 1, 9, 4, seed=1), draw(1, 1, 9, 4, seed=2)
    geometry = attnexport.attention_geometry(*inputs, n, causal=True)
    for figures in (geometry.selected, geometry.random):
        for name in FIGURES:
            assert getattr(figures, name)[0, 0].isnan().tolist() == [True] * undefined + [False] * (rows - undefined)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_inputs_are_measured_in_float32(dtype):
    q, k, v = (draw(1, 2, 5, 4, seed=seed).to(dtype) for seed in range(3))
    geometry = attnexport.attention_geometry(q, k, v, 2)
    exact = attnexport.attention_geometry(q.double(), k.double(), v.double(), 2)
    assert geometry.selected.margin.dtype == torch.float32
    assert torch.allclose(geometry.selected.margin.double(), exact.selected.margin, atol=1e-5)


def test_tiny_half_precision_weights_do_not_make_ties():
    q, k = torch.zeros(1, 1, 1, 1), torch.tensor([0.0, 0.0, -20.0, -21.0])[None, None, :, None]
    v = torch.tensor([1.0, 2.0, 1.0, -1.0])[None, None, :, None]
    geometry = attnexport.attention_geometry((q + 1).half(), k.half(), v.half(), 2)
    exact = attnexport.attention_geometry((q + 1).double(), k.double(), v.double(), 2)
    assert float(geometry.selected.margin) == pytest.approx(float(exact.selected.margin), abs=1e-6)
    assert float(geometry.selected.precision) == float(exact.selected.precision)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n": 0}, "n: expected 1 <= n < M=9, given 0"),
        ({"n": 9}, "n: expected 1 <= n < M=9, given 9"),
        ({"n": 2, "distance": "manhattan"}, "distance: expected one of euclidean, cosine, given 'manhattan'"),
    ],
)
def test_options_that_do_not_fit_are_named(options, text):
    with pytest.raises(ValueError, match=text):
        attnexport.attention_geometry(draw(1, 1, 5, 4), draw(1, 1, 9, 4), draw(1, 1, 9, 4), **options)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"v: expected \(B=1, Hkv=1, M=9, Dv\), given \(1, 1, 8, 4\) float64"):
        attnexport.attention_geometry(draw(1, 1, 5, 4), draw(1, 1, 9, 4), draw(1, 1, 8, 4), 2)
