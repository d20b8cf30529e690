"""Arguments that do not fit raise a ValueError whose message starts with the argument's name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attnexport import Grid
from tests.variants.cases import CASES, Case, Shape, each_variant, int32

BY_NAME = {case.name: case for case in CASES}


def numbers(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float64)


def assert_names(case: str, changes: dict[str, Any], name: str, **visibility: Any) -> None:
    given = BY_NAME[case]
    inputs = given.inputs(Shape(rows=7, keys=9))
    with pytest.raises(ValueError, match=f"^{name}: expected .*given"):
        given.operator(**(inputs | given.options | changes), **visibility)


@pytest.mark.parametrize("case", ["krause", "affine", "topn-3"])
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"q": numbers(4, 7, 5)}, "q", id="q-without-batch"),
        pytest.param({"q": torch.ones(2, 4, 7, 5, dtype=torch.int32)}, "q", id="q-of-integers"),
        pytest.param({"k": numbers(2, 2, 9, 4)}, "k", id="k-width"),
        pytest.param({"k": numbers(3, 2, 9, 5)}, "k", id="k-batch"),
        pytest.param({"k": numbers(2, 9, 5)}, "k", id="k-without-heads"),
        pytest.param({"k": numbers(2, 3, 9, 5)}, "k", id="k-heads-do-not-divide"),
        pytest.param({"k": numbers(2, 8, 9, 5)}, "k", id="more-key-heads-than-heads"),
        pytest.param({"k": numbers(2, 0, 9, 5)}, "k", id="no-key-heads"),
        pytest.param({"k": numbers(2, 2, 9, 5).float()}, "k", id="k-dtype"),
        pytest.param({"v": numbers(2, 2, 8, 3)}, "v", id="v-keys"),
        pytest.param({"v": numbers(2, 4, 9, 3)}, "v", id="v-heads"),
        pytest.param({"v": numbers(1, 2, 9, 3)}, "v", id="v-batch"),
        pytest.param({"v": numbers(2, 9, 3)}, "v", id="v-without-heads"),
        pytest.param({"v": numbers(2, 2, 9, 3).float()}, "v", id="v-dtype"),
    ],
)
def test_queries_keys_and_values_must_fit(case: str, changes: dict[str, Any], name: str) -> None:
    assert_names(case, changes, name)


@each_variant
@pytest.mark.parametrize("name", ["kv_lengths", "q_start", "kv_start"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(int32(3), id="batch"),
        pytest.param(int32(3, 3)[None], id="axes"),
        pytest.param(torch.tensor([3.0, 3.0]), id="floating"),
        pytest.param(torch.tensor([True, True]), id="boolean"),
    ],
)
def test_lengths_and_starts_must_be_one_integer_per_batch_entry(case: Case, name: str, value: Tensor) -> None:
    assert_names(case.name, {}, name, **{name: value})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"sigma": numbers(3)}, "sigma", id="sigma-heads"),
        pytest.param({"sigma": numbers(1)}, "sigma", id="sigma-of-one"),
        pytest.param({"sigma": numbers(2, 4)}, "sigma", id="sigma-axes"),
        pytest.param({"window": 0}, "window", id="window-zero"),
        pytest.param({"window": -2}, "window", id="window-negative"),
        pytest.param({"window": 2.0}, "window", id="window-floating"),
        pytest.param({"window": True}, "window", id="window-boolean"),
        pytest.param({"window": 2, "prefix": -1}, "prefix", id="prefix-negative"),
        pytest.param({"window": 2, "prefix": True}, "prefix", id="prefix-boolean"),
        pytest.param({"prefix": 2}, "prefix", id="prefix-without-window"),
        pytest.param({"top_k": 0}, "top_k", id="top_k-zero"),
        pytest.param({"grid": Grid(3, 2, 1), "window": 3}, "grid", id="grid-and-window"),
        pytest.param({"grid": Grid(4, 2, 1)}, "q", id="q-tokens-of-grid"),
        pytest.param({"grid": Grid(3, 2, 1)}, "k", id="k-tokens-of-grid"),
    ],
)
def test_krause_options_must_fit(changes: dict[str, Any], name: str) -> None:
    assert_names("krause", changes, name)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((0, 3, 1), id="no-rows"),
        pytest.param((3, 0, 1), id="no-columns"),
        pytest.param((3, 3, -1), id="radius"),
        pytest.param((3, 3, 1, "euclidean"), id="metric"),
        pytest.param((3, 3, 1, "chebyshev", -1), id="prefix"),
    ],
)
def test_a_grid_must_make_sense(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"^grid: expected .*given"):
        Grid(*arguments)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"query_factors": [], "key_factors": []}, "key_factors", id="no-factors"),
        pytest.param({"key_factors": [numbers(2, 2, 9, 4)]}, "key_factors", id="unequal-counts"),
        pytest.param({"key_factors": [numbers(2, 2, 9, 4), numbers(2, 2, 9, 2)]}, r"key_factors\[1\]", id="width"),
        pytest.param({"query_factors": [numbers(2, 4, 7, 4), numbers(2, 4, 6, 3)]}, r"query_factors\[1\]", id="rows"),
        pytest.param({"query_factors": [numbers(4, 7, 4)] * 2}, r"query_factors\[0\]", id="axes"),
        pytest.param({"v": numbers(2, 2, 8, 3)}, "v", id="v-keys"),
    ],
)
def test_hla_factors_must_fit(changes: dict[str, Any], name: str) -> None:
    assert_names("hla-two", changes, name)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"omega_q": numbers(2, 7, 5)}, "omega_q", id="omega_q-axes"),
        pytest.param({"omega_k": numbers(2, 2, 9, 4)}, "omega_k", id="omega_k-width"),
        pytest.param({"theta": numbers(2, 2, 8, 5)}, "theta", id="theta-keys"),
        pytest.param({"theta": numbers(2, 2, 9, 4)}, "theta", id="theta-width"),
        pytest.param({"v": numbers(2, 2, 8, 3)}, "v", id="v-keys"),
        pytest.param({"coupling": numbers(1)}, "coupling", id="coupling"),
        pytest.param({"alpha": numbers(2)}, "alpha", id="alpha-heads"),
        pytest.param({"alpha": numbers()}, "alpha", id="alpha-scalar"),
        pytest.param({"top_k": 0}, "top_k", id="top_k-zero"),
    ],
)
def test_ssa_inputs_must_fit(changes: dict[str, Any], name: str) -> None:
    assert_names("ssa", changes, name)


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(numbers(4), id="per-head"),
        pytest.param(numbers(2, 4, 9), id="per-key"),
        pytest.param(numbers(2, 4, 7, 1), id="axes"),
    ],
)
def test_affine_weights_must_be_one_per_row(name: str, value: Tensor) -> None:
    assert_names("affine", {name: value}, name)


@pytest.mark.parametrize("n", [0, -1, None, True, 2.0], ids=str)
def test_top_n_needs_a_count(n: Any) -> None:
    assert_names("topn-3", {"n": n}, "n")


def test_a_message_tells_the_given_shape_and_dtype() -> None:
    inputs = BY_NAME["krause"].inputs(Shape(rows=7, keys=9), torch.float32)
    with pytest.raises(ValueError, match=r"^v: .*given \(2, 2, 8, 3\) float32$"):
        BY_NAME["krause"].operator(**(inputs | {"v": inputs["v"][:, :, :8]}))
