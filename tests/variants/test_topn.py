"""Top-N attention: softmax attention as a special case, what is kept, ties, the two normalisations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attnexport import top_n_attention
from tests.variants import formulas
from tests.variants.cases import Inputs, Shape, draw_qkv, error, float64, int32, one_hot_values

EXACT = 1e-12

either = pytest.mark.parametrize("renormalize", [True, False], ids=["renormalised", "raw"])


def inputs_of(shape: Shape) -> Inputs:
    return draw_qkv(shape, torch.Generator().manual_seed(0))


def softmax_weights(inputs: Inputs) -> Tensor:
    keys = inputs["k"].repeat_interleave(inputs["q"].shape[1] // inputs["k"].shape[1], dim=1)
    return torch.softmax(inputs["q"] @ keys.transpose(-1, -2) * inputs["q"].shape[-1] ** -0.5, dim=-1)


def kept_weights(shape: Shape, n: int, renormalize: bool) -> tuple[Tensor, Tensor]:
    """Weights of top-N attention beside those of softmax attention."""
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    return top_n_attention(**inputs, n=n, renormalize=renormalize), softmax_weights(inputs)


@either
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n", [9, 10, 100])
def test_keeping_every_key_is_softmax_attention(renormalize: bool, causal: bool, n: int) -> None:
    inputs = inputs_of(Shape(rows=9, keys=9))
    expected = F.scaled_dot_product_attention(**_sdpa(inputs), is_causal=causal, enable_gqa=True)
    assert error(top_n_attention(**inputs, n=n, causal=causal, renormalize=renormalize), expected) <= EXACT


def _sdpa(inputs: Inputs) -> dict[str, Tensor]:
    return {"query": inputs["q"], "key": inputs["k"], "value": inputs["v"]}


@pytest.mark.parametrize("n", [1, 3, 8])
def test_raw_weights_are_those_of_softmax_or_zero(n: int) -> None:
    kept, every = kept_weights(Shape(rows=7, keys=9), n, renormalize=False)
    assert error(kept, torch.where(kept > 0, every, 0.0)) <= EXACT
    assert ((kept > 0).sum(-1) == n).all()


@pytest.mark.parametrize("n", [1, 3, 8])
def test_the_kept_weights_are_the_largest(n: int) -> None:
    kept, every = kept_weights(Shape(rows=7, keys=9), n, renormalize=False)
    smallest_kept = torch.where(kept > 0, every, torch.inf).amin(-1)
    largest_dropped = torch.where(kept > 0, 0.0, every).amax(-1)
    assert (smallest_kept > largest_dropped).all()


@pytest.mark.parametrize("n", [1, 3, 8])
def test_renormalised_weights_are_the_raw_ones_over_their_sum(n: int) -> None:
    shape = Shape(rows=7, keys=9)
    raw, _ = kept_weights(shape, n, renormalize=False)
    renormalised, _ = kept_weights(shape, n, renormalize=True)
    assert error(renormalised, raw / raw.sum(-1, keepdim=True)) <= EXACT


def test_one_key_returns_the_value_of_the_best() -> None:
    inputs = inputs_of(Shape(heads=2, rows=5, keys=9))
    best = softmax_weights(inputs).argmax(-1, keepdim=True)
    expected = inputs["v"].gather(2, best.expand(-1, -1, -1, 3))
    assert torch.equal(top_n_attention(**inputs, n=1), expected)


@either
def test_rows_with_fewer_visible_keys_keep_them_all(renormalize: bool) -> None:
    inputs = inputs_of(Shape(rows=9, keys=9))
    options = {"causal": True, "kv_lengths": int32(4, 9), "renormalize": renormalize}
    few = top_n_attention(**inputs, n=4, **options)
    every = top_n_attention(**inputs, n=9, **options)
    assert error(few[0], every[0]) <= EXACT
    assert error(few[1, :, :4], every[1, :, :4]) <= EXACT
    assert error(few[1, :, 4:], every[1, :, 4:]) > 1e-3


@either
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_ties_go_to_the_lower_index(renormalize: bool, causal: bool, n: int) -> None:
    shape = Shape(rows=30, keys=37, width=2)
    generator = torch.Generator().manual_seed(0)
    inputs = inputs_of(shape)
    for name in ("q", "k"):
        inputs[name] = torch.randint(-1, 2, inputs[name].shape, generator=generator).double()
    options = {"n": n, "scale": 0.5, "renormalize": renormalize, "causal": causal}
    assert error(top_n_attention(**inputs, **options), formulas.top_n(**inputs, **options)) <= EXACT


@either
def test_equal_keys_keep_the_first_two(renormalize: bool) -> None:
    shape = Shape(batch=1, heads=1, kv_heads=1, rows=6, keys=6)
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    inputs["k"] = torch.zeros_like(inputs["k"])
    out = top_n_attention(**inputs, n=2, renormalize=renormalize, scale=1.0)[0, 0]
    share = 1 / 2 if renormalize else 1 / 6
    assert error(out, float64([share, share, 0, 0, 0, 0]).expand(6, 6)) <= EXACT


def test_a_negative_scale_keeps_the_smallest_inner_products() -> None:
    inputs = inputs_of(Shape())
    turned = inputs | {"q": -inputs["q"]}
    assert torch.equal(top_n_attention(**inputs, n=3, scale=-0.5), top_n_attention(**turned, n=3, scale=0.5))


def test_scale_defaults_to_the_square_root_of_the_width() -> None:
    inputs = inputs_of(Shape())
    assert torch.equal(top_n_attention(**inputs, n=3), top_n_attention(**inputs, n=3, scale=5**-0.5))
