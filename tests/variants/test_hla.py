"""Hadamard linear attention: its identities with other attentions, blocks, empty features and memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnexport import hadamard_linear_attention
from tests.variants import formulas
from tests.variants.cases import Inputs, Shape, draw_hla, error, examples, int32, largest_allocation, one_hot_values

EXACT = 1e-12


def inputs_of(shape: Shape, *widths: int) -> Inputs:
    return draw_hla(*widths)(shape, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("causal", [False, True])
def test_one_factor_is_linear_attention(causal: bool) -> None:
    inputs = inputs_of(Shape(heads=2, rows=9, keys=9), 4)
    (q,), (k,), v = inputs["query_factors"], inputs["key_factors"], inputs["v"]
    outer = torch.einsum("bhjm,bhjc->bhjmc", k, v)
    state, norm = (outer.cumsum(2), k.cumsum(2)) if causal else (outer.sum(2, True), k.sum(2, True))
    numerator = torch.einsum("bhim,bhimc->bhic", q, state.expand(-1, -1, 9, -1, -1))
    expected = numerator / ((q * norm).sum(-1, keepdim=True) + 1e-6)
    assert error(hadamard_linear_attention(**inputs, causal=causal), expected) <= EXACT


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_equal_factors_give_a_power_of_the_inner_product(factors: int) -> None:
    inputs = inputs_of(Shape(heads=2, rows=6, keys=9), 4)
    (q,), (k,), v = inputs["query_factors"], inputs["key_factors"], inputs["v"]
    weights = (q @ k.transpose(-1, -2)) ** factors
    expected = weights @ v / (weights.sum(-1, keepdim=True) + 1e-6)
    assert error(hadamard_linear_attention([q] * factors, [k] * factors, v), expected) <= EXACT


def test_two_factors_are_one_factor_of_their_kronecker_product() -> None:
    inputs = inputs_of(Shape(), 4, 3)
    joined = {
        name: [torch.einsum("bhna,bhnc->bhnac", *inputs[name]).flatten(-2)] for name in ("query_factors", "key_factors")
    }
    out = hadamard_linear_attention(**inputs, causal=True)
    assert error(out, hadamard_linear_attention(**(inputs | joined), causal=True)) <= EXACT


def test_the_order_of_the_factors_does_not_matter() -> None:
    inputs = inputs_of(Shape(), 2, 3, 2)
    turned = {name: inputs[name][::-1] for name in ("query_factors", "key_factors")}
    out = hadamard_linear_attention(**inputs)
    assert error(out, hadamard_linear_attention(**(inputs | turned))) <= EXACT


def test_a_factor_of_ones_with_one_feature_changes_nothing() -> None:
    inputs = inputs_of(Shape(), 4)
    ones = {name: [*inputs[name], torch.ones_like(inputs[name][0][..., :1])] for name in inputs if name != "v"}
    out = hadamard_linear_attention(**inputs)
    assert error(out, hadamard_linear_attention(**(inputs | ones))) <= EXACT


@pytest.mark.parametrize("eps", [1e-6, 0.5, 10.0])
def test_eps_is_added_to_the_denominator(eps: float) -> None:
    shape = Shape()
    inputs = inputs_of(shape, 4, 3) | {"v": one_hot_values(shape)}
    sums = hadamard_linear_attention(**inputs, eps=eps).sum(-1)
    total = torch.ones(2, 4, 7).double()
    for query, key in zip(inputs["query_factors"], inputs["key_factors"], strict=True):
        total = total[..., None] if total.dim() == 3 else total
        total = total * (query @ key.repeat_interleave(2, dim=1).transpose(-1, -2))
    assert error(sums, total.sum(-1) / (total.sum(-1) + eps)) <= EXACT


@pytest.mark.parametrize("rows", [63, 64, 65, 127, 130])
def test_blocks_of_rows_join_without_a_seam(rows: int) -> None:
    inputs = inputs_of(Shape(batch=2, heads=1, kv_heads=1, rows=rows, keys=140, value_width=1), 2, 2)
    options = {"causal": True, "kv_lengths": int32(140, 71), "q_start": int32(140 - rows, -5)}
    expected = formulas.hla(**inputs, **options)
    assert error(hadamard_linear_attention(**inputs, **options), expected) <= EXACT


@examples
@given(rows=st.integers(1, 90), keys=st.integers(1, 90), start=st.integers(-80, 100), length=st.integers(0, 95))
def test_causal_rows_may_start_anywhere(rows: int, keys: int, start: int, length: int) -> None:
    inputs = inputs_of(Shape(batch=1, heads=1, kv_heads=1, rows=rows, keys=keys, value_width=1), 2)
    options = {"causal": True, "kv_lengths": int32(length), "q_start": int32(start)}
    expected = formulas.hla(**inputs, **options)
    assert error(hadamard_linear_attention(**inputs, **options), expected) <= EXACT


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_features_that_are_all_zero_give_zeros_and_finite_gradients(dtype: torch.dtype) -> None:
    inputs = inputs_of(Shape(), 4, 3)
    queries = [torch.zeros_like(x, dtype=dtype).requires_grad_() for x in inputs["query_factors"]]
    keys = [x.to(dtype).requires_grad_() for x in inputs["key_factors"]]
    out = hadamard_linear_attention(queries, keys, inputs["v"].to(dtype))
    out.sum().backward()
    assert not out.any()
    assert all(x.grad.isfinite().all() for x in [*queries, *keys])


@pytest.mark.parametrize("causal", [False, True])
def test_many_tokens_make_no_square_tensor(causal: bool) -> None:
    tokens = 32768
    factors = [torch.rand(1, 1, tokens, 4) for _ in range(2)]
    v = torch.randn(1, 1, tokens, 16)
    with torch.no_grad():
        most = largest_allocation(lambda: hadamard_linear_attention(factors, factors, v, causal=causal))
    assert most <= tokens * 64 * 4


@pytest.mark.parametrize("causal", [False, True])
def test_many_tokens_make_no_square_tensor_while_gradients_are_recorded(causal: bool) -> None:
    tokens = 8192
    factors = [torch.rand(1, 1, tokens, 4, requires_grad=True) for _ in range(2)]
    v = torch.randn(1, 1, tokens, 16)

    def step() -> None:
        hadamard_linear_attention(factors, factors, v, causal=causal).sum().backward()

    assert largest_allocation(step) <= tokens * 64 * 4
