"""Affine-scaled attention: softmax attention as a special case, the added sum of values, row sums."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from attnexport import affine_scaled_attention
from tests.variants.cases import VISIBILITIES, Inputs, Shape, draw_affine, error, float64, one_hot_values
from tests.variants.formulas import Visibility

EXACT = 1e-12


def inputs_of(shape: Shape) -> Inputs:
    return draw_affine(shape, torch.Generator().manual_seed(0))


def visible_counts(shape: Shape, **visibility: Any) -> torch.Tensor:
    rule = Visibility(shape.rows, shape.keys, **visibility)
    counts = [[len(rule.seen(b, i)) for i in range(shape.rows)] for b in range(shape.batch)]
    return float64(counts)[:, None]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_alpha_one_and_beta_zero_are_softmax_attention(causal: bool, scale: float | None) -> None:
    inputs = inputs_of(Shape(rows=9, keys=9))
    ones = torch.ones_like(inputs["alpha"])
    out = affine_scaled_attention(**(inputs | {"alpha": ones, "beta": 0.0 * ones}), causal=causal, scale=scale)
    q, k, v = (inputs[name] for name in "qkv")
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=True)
    assert error(out, expected) <= EXACT


def test_alpha_zero_and_beta_one_are_the_sum_of_the_values() -> None:
    inputs = inputs_of(Shape(heads=2))
    zeros = torch.zeros_like(inputs["alpha"])
    out = affine_scaled_attention(**(inputs | {"alpha": zeros, "beta": 1.0 + zeros}))
    assert error(out, inputs["v"].sum(2, keepdim=True).expand_as(out)) <= EXACT


def test_alpha_zero_and_beta_one_are_a_prefix_sum_when_causal() -> None:
    inputs = inputs_of(Shape(heads=2))
    zeros = torch.zeros_like(inputs["alpha"])
    out = affine_scaled_attention(**(inputs | {"alpha": zeros, "beta": 1.0 + zeros}), causal=True)
    assert error(out, inputs["v"].cumsum(2)) <= EXACT


def test_alpha_and_beta_zero_give_zeros() -> None:
    inputs = inputs_of(Shape())
    zeros = torch.zeros_like(inputs["alpha"])
    assert not affine_scaled_attention(**(inputs | {"alpha": zeros, "beta": zeros})).any()


@pytest.mark.parametrize("rule", sorted(VISIBILITIES))
def test_weights_of_a_row_sum_to_alpha_plus_beta_per_visible_key(rule: str) -> None:
    shape = Shape(rows=6, keys=9)
    visibility = VISIBILITIES[rule](shape)
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    counts = visible_counts(shape, **visibility)
    expected = (inputs["alpha"] + inputs["beta"] * counts) * (counts > 0)
    assert error(affine_scaled_attention(**inputs, **visibility).sum(-1), expected) <= EXACT


@pytest.mark.parametrize("rule", sorted(VISIBILITIES))
def test_beta_over_the_visible_keys_makes_rows_sum_to_the_average(rule: str) -> None:
    shape = Shape(rows=6, keys=9)
    visibility = VISIBILITIES[rule](shape)
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    counts = visible_counts(shape, **visibility)
    inputs["beta"] = (0.4 - inputs["alpha"]) / counts.clamp(min=1)
    sums = affine_scaled_attention(**inputs, **visibility).sum(-1)
    assert error(sums, 0.4 * (counts > 0).double().expand_as(sums)) <= EXACT


def test_beta_is_not_added_to_hidden_keys() -> None:
    shape = Shape(batch=1, rows=4, keys=4)
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    inputs["beta"] = torch.full_like(inputs["beta"], 5.0)
    weights = affine_scaled_attention(**inputs, causal=True)
    assert torch.equal(weights.triu(1), torch.zeros_like(weights))
    assert (weights.tril() + torch.ones(4, 4).triu(1) >= 1.0).all()


def test_output_is_linear_in_alpha_and_beta() -> None:
    inputs = inputs_of(Shape())
    doubled = inputs | {name: 2.0 * inputs[name] for name in ("alpha", "beta")}
    assert error(affine_scaled_attention(**doubled), 2.0 * affine_scaled_attention(**inputs)) <= EXACT


def test_scale_defaults_to_the_square_root_of_the_width() -> None:
    inputs = inputs_of(Shape())
    out = affine_scaled_attention(**inputs)
    assert torch.equal(out, affine_scaled_attention(**inputs, scale=5**-0.5))
