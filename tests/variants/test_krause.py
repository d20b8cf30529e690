"""Krause attention: neighbourhoods, top-k and its ties, identities, range and memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from attnexport import Grid, krause_attention
from tests.variants import formulas
from tests.variants.cases import (
    Inputs,
    Shape,
    draw_krause,
    error,
    examples,
    float64,
    int32,
    largest_allocation,
    one_hot_values,
)

EXACT = 1e-12


def inputs_of(shape: Shape, seed: int = 0) -> Inputs:
    return draw_krause(shape, torch.Generator().manual_seed(seed))


def whole_numbers(shape: Shape, seed: int = 0) -> Inputs:
    """Queries and keys of few whole numbers, so that many distances are exactly equal."""
    generator = torch.Generator().manual_seed(seed)
    inputs = inputs_of(shape, seed)
    for name in ("q", "k"):
        inputs[name] = torch.randint(-1, 2, inputs[name].shape, generator=generator).double()
    return inputs | {"sigma": float64(1.0)}


def weights_of(shape: Shape, **options: Any) -> Tensor:
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    return krause_attention(**inputs, **options)


def assert_equals_formula(inputs: Inputs, **options: Any) -> None:
    assert error(krause_attention(**inputs, **options), formulas.krause(**inputs, **options)) <= EXACT


@st.composite
def windowed_calls(draw: st.DrawFn) -> tuple[Shape, dict[str, Any]]:
    shape = Shape(rows=draw(st.integers(1, 40)), keys=draw(st.integers(1, 40)), width=2, value_width=2)
    numbers = st.lists(st.integers(-30, 70), min_size=2, max_size=2)
    options: dict[str, Any] = {
        "window": draw(st.integers(1, 45)),
        "top_k": draw(st.none() | st.integers(1, 6)),
        "causal": draw(st.booleans()),
    }
    for name in ("kv_lengths", "q_start", "kv_start"):
        if draw(st.booleans()):
            options[name] = int32(*draw(numbers))
    return shape, options


@examples
@given(call=windowed_calls())
def test_any_window_equals_the_formula(call: tuple[Shape, dict[str, Any]]) -> None:
    shape, options = call
    assert_equals_formula(inputs_of(shape), **options)


@examples
@given(call=windowed_calls())
def test_any_window_equals_the_formula_with_ties(call: tuple[Shape, dict[str, Any]]) -> None:
    shape, options = call
    assert_equals_formula(whole_numbers(shape), **options)


@st.composite
def grids(draw: st.DrawFn) -> tuple[Grid, dict[str, Any]]:
    size = st.integers(1, 6)
    metric = draw(st.sampled_from(["chebyshev", "manhattan"]))
    grid = Grid(draw(size), draw(size), draw(st.integers(0, 3)), metric, draw(st.integers(0, 2)))
    numbers = st.lists(st.integers(-2, 40), min_size=2, max_size=2)
    options: dict[str, Any] = {
        "grid": grid,
        "top_k": draw(st.none() | st.integers(1, 6)),
        "causal": draw(st.booleans()),
    }
    for name in ("kv_lengths", "q_start", "kv_start"):
        if draw(st.booleans()):
            options[name] = int32(*draw(numbers))
    return grid, options


@examples
@given(call=grids())
def test_any_grid_equals_the_formula(call: tuple[Grid, dict[str, Any]]) -> None:
    grid, options = call
    assert_equals_formula(inputs_of(Shape(rows=grid.tokens, keys=grid.tokens, width=2)), **options)


@examples
@given(call=grids())
def test_any_grid_equals_the_formula_with_ties(call: tuple[Grid, dict[str, Any]]) -> None:
    grid, options = call
    assert_equals_formula(whole_numbers(Shape(rows=grid.tokens, keys=grid.tokens, width=2)), **options)


@pytest.mark.parametrize("top_k", [1, 2, 5, 40])
@pytest.mark.parametrize("causal", [False, True])
def test_ties_of_top_k_go_to_the_lower_index(top_k: int, causal: bool) -> None:
    assert_equals_formula(whole_numbers(Shape(rows=30, keys=37, width=2)), top_k=top_k, causal=causal)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        pytest.param({}, [[0, 1]] * 6, id="everything"),
        pytest.param({"causal": True}, [[0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]], id="causal"),
        pytest.param({"window": 2}, [[0, 1], [0, 1], [1, 2], [2, 3], [3, 4], [4, 5]], id="window"),
        pytest.param({"grid": Grid(1, 5, 1, prefix=1)}, [[0, 1], [0, 1], [0, 1], [0, 2], [0, 3], [0, 4]], id="grid"),
        pytest.param({"grid": Grid(1, 6, 1, prefix=0)}, [[0, 1], [0, 1], [1, 2], [2, 3], [3, 4], [4, 5]], id="cells"),
    ],
)
def test_equal_keys_keep_the_first_two(options: dict[str, Any], kept: list[list[int]]) -> None:
    shape = Shape(batch=1, heads=1, kv_heads=1, rows=6, keys=6)
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    inputs["k"] = torch.ones_like(inputs["k"])
    out = krause_attention(**inputs, top_k=2, **options)[0, 0]
    expected = torch.zeros(6, 6).double()
    for i, row in enumerate(kept):
        expected[i, row] = 1.0 / len(row)
    assert error(out, expected) <= EXACT


def test_equals_softmax_attention_with_a_bias_of_the_key() -> None:
    inputs = inputs_of(Shape(heads=2, kv_heads=2, rows=9, keys=12))
    q, k, v, sigma = inputs["q"], inputs["k"], inputs["v"], float64(1.3)
    bias = -0.5 * k.square().sum(-1)[:, :, None, :] / sigma**2
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=float(sigma**-2))
    assert error(krause_attention(q, k, v, sigma), expected) <= EXACT


@pytest.mark.parametrize("window", [7, 8, 100])
def test_a_window_of_all_keys_is_none(window: int) -> None:
    inputs = inputs_of(Shape())
    assert error(krause_attention(**inputs, window=window), krause_attention(**inputs)) <= EXACT


@pytest.mark.parametrize("metric", ["chebyshev", "manhattan"])
def test_a_radius_of_the_whole_grid_is_none(metric: str) -> None:
    grid = Grid(3, 4, 5, metric)
    inputs = inputs_of(Shape(rows=grid.tokens, keys=grid.tokens))
    assert error(krause_attention(**inputs, grid=grid), krause_attention(**inputs)) <= EXACT


def test_a_top_k_of_all_keys_is_none() -> None:
    inputs = inputs_of(Shape())
    assert torch.equal(krause_attention(**inputs, top_k=7), krause_attention(**inputs))


def test_a_window_of_one_returns_each_rows_own_value() -> None:
    inputs = inputs_of(Shape(heads=2))
    assert torch.equal(krause_attention(**inputs, window=1), inputs["v"])


def test_a_radius_of_zero_without_prefix_returns_each_cells_own_value() -> None:
    inputs = inputs_of(Shape(heads=2, rows=12, keys=12))
    assert torch.equal(krause_attention(**inputs, grid=Grid(3, 4, 0, prefix=0)), inputs["v"])


def test_a_causal_window_reaches_back_only() -> None:
    seen = weights_of(Shape(batch=1, heads=1, kv_heads=1), window=3, causal=True)[0, 0] > 0
    expected = [[i - 3 < j <= i for j in range(7)] for i in range(7)]
    assert seen.tolist() == expected


def test_a_window_that_is_not_causal_reaches_both_ways() -> None:
    seen = weights_of(Shape(batch=1, heads=1, kv_heads=1), window=3)[0, 0] > 0
    assert seen.tolist() == [[abs(i - j) < 3 for j in range(7)] for i in range(7)]


def test_a_window_moves_with_q_start() -> None:
    seen = weights_of(Shape(batch=2, heads=1, kv_heads=1, rows=2, keys=30), window=2, q_start=int32(-1, 20))
    assert [row.nonzero().flatten().tolist() for row in seen[0, 0]] == [[0], [0, 1]]
    assert [row.nonzero().flatten().tolist() for row in seen[1, 0]] == [[19, 20, 21], [20, 21, 22]]


def test_rows_whose_window_lies_beyond_the_keys_are_zero() -> None:
    inputs = inputs_of(Shape(rows=5, keys=30))
    out = krause_attention(**inputs, window=3, q_start=int32(30, -7))
    assert out[0, :, :2].abs().min() > 0
    assert not out[0, :, 2:].any()
    assert not out[1].any()


def test_prefix_tokens_see_all_and_are_seen_by_all() -> None:
    grid = Grid(4, 4, 1, prefix=2)
    seen = weights_of(Shape(batch=1, heads=1, kv_heads=1, rows=18, keys=18), grid=grid)[0, 0] > 0
    assert seen[:2].all()
    assert seen[:, :2].all()
    assert not seen[2:, 2:].all()


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param("chebyshev", [2, 3, 4, 7, 8, 9, 12, 13, 14], id="chebyshev"),
        pytest.param("manhattan", [3, 7, 8, 9, 13], id="manhattan"),
    ],
)
def test_an_inner_cell_sees_the_cells_around_it(metric: str, expected: list[int]) -> None:
    shape = Shape(batch=1, heads=1, kv_heads=1, rows=20, keys=20)
    seen = weights_of(shape, grid=Grid(4, 5, 1, metric, prefix=0))[0, 0, 8]
    assert seen.nonzero().flatten().tolist() == expected


def test_a_grid_does_not_wrap_around_its_border() -> None:
    shape = Shape(batch=1, heads=1, kv_heads=1, rows=20, keys=20)
    seen = weights_of(shape, grid=Grid(4, 5, 1, prefix=0))[0, 0]
    assert seen[0].nonzero().flatten().tolist() == [0, 1, 5, 6]
    assert seen[9].nonzero().flatten().tolist() == [3, 4, 8, 9, 13, 14]


def test_top_1_returns_the_nearest_keys_value() -> None:
    inputs = inputs_of(Shape(heads=2, rows=5, keys=9))
    nearest = torch.cdist(inputs["q"], inputs["k"]).argmin(-1, keepdim=True)
    expected = inputs["v"].gather(2, nearest.expand(-1, -1, -1, 3))
    assert torch.equal(krause_attention(**inputs, top_k=1), expected)


def test_a_small_sigma_returns_the_nearest_keys_value() -> None:
    inputs = inputs_of(Shape(rows=5, keys=9))
    sharp = inputs | {"sigma": float64(1e-3)}
    assert error(krause_attention(**sharp), krause_attention(**inputs, top_k=1)) <= EXACT


def test_a_large_sigma_returns_the_mean_value() -> None:
    inputs = inputs_of(Shape(heads=2)) | {"sigma": float64(1e8)}
    expected = inputs["v"].mean(2, keepdim=True).expand(-1, -1, 7, -1)
    assert error(krause_attention(**inputs), expected) <= EXACT


def test_one_sigma_is_the_same_sigma_in_every_head() -> None:
    inputs = inputs_of(Shape())
    one, four = float64(0.9), float64([0.9] * 4)
    out = krause_attention(**(inputs | {"sigma": one}), window=3)
    assert torch.equal(out, krause_attention(**(inputs | {"sigma": four}), window=3))


def test_moving_queries_and_keys_together_changes_nothing() -> None:
    inputs = inputs_of(Shape())
    step = float64([3.0, -1.0, 2.0, 0.5, -4.0])
    moved = inputs | {"q": inputs["q"] + step, "k": inputs["k"] + step}
    assert error(krause_attention(**moved), krause_attention(**inputs)) <= EXACT


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"top_k": 2}, {"causal": True}], ids=str)
def test_the_weights_of_a_row_sum_to_one(options: dict[str, Any]) -> None:
    assert error(weights_of(Shape(), **options).sum(-1), torch.ones(2, 4, 7)) <= EXACT


@pytest.mark.parametrize("options", [{}, {"window": 20}, {"top_k": 3}], ids=str)
def test_distances_that_underflow_the_gaussian_give_the_right_weights(options: dict[str, Any]) -> None:
    inputs = inputs_of(Shape(rows=40, keys=40))
    inputs["q"] = inputs["q"] + 100.0
    largest = torch.cdist(inputs["q"][:, ::2], inputs["k"]).min() ** 2 / (2 * inputs["sigma"].max() ** 2)
    assert torch.exp(-largest) == 0.0
    score = float((inputs["q"].norm(dim=-1).max() * inputs["k"].norm(dim=-1).max()) / inputs["sigma"].min() ** 2)
    bound = 16 * torch.finfo(torch.float64).eps * score * float(inputs["v"].abs().max())
    out = krause_attention(**inputs, **options)
    assert error(out, formulas.krause(**inputs, **options)) <= bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_distances_that_underflow_leave_results_finite(dtype: torch.dtype) -> None:
    inputs = {name: value.to(dtype) for name, value in inputs_of(Shape(rows=40, keys=40)).items()}
    inputs["q"] = inputs["q"] + 1000.0
    for options in ({}, {"window": 4}, {"top_k": 3}, {"kv_lengths": int32(0, 3)}):
        assert krause_attention(**inputs, **options).isfinite().all()


def test_a_grid_counts_its_tokens() -> None:
    grid = Grid(3, 5, 1, prefix=2)
    assert (grid.cells, grid.tokens) == (15, 17)


@pytest.mark.parametrize(
    ("metric", "radius", "count"),
    [("chebyshev", 0, 1), ("chebyshev", 2, 25), ("manhattan", 1, 5), ("manhattan", 2, 13)],
)
def test_a_grid_lists_the_steps_within_its_radius(metric: str, radius: int, count: int) -> None:
    steps = Grid(9, 9, radius, metric).offsets()
    assert len(steps) == len(set(steps)) == count
    assert steps == sorted(steps)
    assert (0, 0) in steps


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("top_k", [None, 8])
def test_a_window_over_many_tokens_makes_no_square_tensor(causal: bool, top_k: int | None) -> None:
    tokens, window = 32768, 64
    q, k, v = (torch.randn(1, 1, tokens, 16) for _ in range(3))
    with torch.no_grad():
        most = largest_allocation(
            lambda: krause_attention(q, k, v, torch.tensor(2.5), window=window, causal=causal, top_k=top_k)
        )
    assert most <= tokens * 8 * window * 4


def test_a_window_makes_no_square_tensor_while_gradients_are_recorded() -> None:
    tokens, window = 8192, 16
    q, k, v = (torch.randn(1, 1, tokens, 16, requires_grad=True) for _ in range(3))
    sigma = torch.tensor(2.5)
    most = largest_allocation(lambda: krause_attention(q, k, v, sigma, window=window).sum().backward())
    assert most <= tokens * 8 * window * 16


def test_a_grid_of_many_cells_makes_no_square_tensor() -> None:
    grid = Grid(128, 128, 1, "manhattan")
    q, k, v = (torch.randn(1, 1, grid.tokens, 16) for _ in range(3))
    with torch.no_grad():
        most = largest_allocation(lambda: krause_attention(q, k, v, torch.tensor(2.5), grid=grid))
    assert most <= grid.tokens * 6 * 16 * 8
