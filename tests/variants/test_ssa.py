"""Selective synchronization attention: its two forms, locking, the order parameter, top-k and its ties."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attnexport import selective_synchronization_attention
from tests.variants import formulas
from tests.variants.cases import Inputs, Shape, draw_ssa, error, float64, int32, one_hot_values

EXACT = 1e-12


def inputs_of(shape: Shape) -> Inputs:
    return draw_ssa(shape, torch.Generator().manual_seed(0))


def self_inputs(shape: Shape) -> Inputs:
    """Inputs whose queries are the keys."""
    inputs = inputs_of(shape)
    return inputs | {"omega_q": inputs["omega_k"].repeat_interleave(shape.heads // shape.kv_heads, dim=1)}


def strengths(inputs: Inputs, shape: Shape, **options: Any) -> Tensor:
    """S (B, H, N, M): with eps = 1 the weights are S / (sum S + 1)."""
    weights = selective_synchronization_attention(**(inputs | {"v": one_hot_values(shape)}), eps=1.0, **options)
    return weights / (1.0 - weights.sum(-1, keepdim=True))


def line(distances: Tensor, coupling: float, alpha: float) -> Inputs:
    """One query and keys at these distances from it, all in phase."""
    keys = distances.double().reshape(1, 1, -1, 1)
    return {
        "omega_q": torch.zeros(1, 1, 1, 1).double(),
        "omega_k": keys,
        "theta": torch.zeros_like(keys),
        "v": torch.eye(keys.shape[2]).double()[None, None],
        "coupling": float64(coupling),
        "alpha": float64([alpha]),
    }


@pytest.mark.parametrize("coupling", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_strength_has_the_papers_form(coupling: float, alpha: float) -> None:
    distances = torch.linspace(0.0, 3.0, 200)
    shape = Shape(batch=1, heads=1, kv_heads=1, rows=1, keys=200)
    found = strengths(line(distances, coupling, alpha), shape)[0, 0, 0]
    expected = [formulas.synchronization(float(x) ** 2, alpha, coupling) for x in distances.double()]
    assert error(found, float64(expected)) <= EXACT
    assert 0 < sum(x > 0 for x in expected) < 200


def test_a_token_locks_to_itself_with_strength_one() -> None:
    shape = Shape(rows=9, keys=9)
    found = strengths(self_inputs(shape), shape).diagonal(dim1=-2, dim2=-1)
    assert error(found, torch.ones_like(found)) <= 1e-10


def test_tokens_too_far_apart_to_lock_keep_their_own_value() -> None:
    inputs = self_inputs(Shape(heads=2))
    far = inputs | {name: inputs[name] * 1e3 for name in ("omega_q", "omega_k")}
    out = selective_synchronization_attention(**far, eps=0.0)
    assert torch.equal(out, inputs["v"])


def test_the_test_inputs_have_locked_and_unlocked_pairs() -> None:
    shape = Shape(rows=9, keys=9)
    locked = (strengths(inputs_of(shape), shape) > 0).double().mean()
    assert 0.1 < locked < 0.9


def test_a_row_that_locks_to_nothing_is_zero_with_finite_gradients() -> None:
    inputs = inputs_of(Shape())
    inputs["omega_q"] = inputs["omega_q"] + 1e3
    for tensor in inputs.values():
        tensor.requires_grad_()
    out = selective_synchronization_attention(**inputs)
    out.sum().backward()
    assert not out.any()
    assert all(torch.equal(tensor.grad, torch.zeros_like(tensor)) for tensor in inputs.values())


def test_more_coupling_locks_more_pairs() -> None:
    shape = Shape(rows=9, keys=9)
    inputs = inputs_of(shape)
    counts = [int((strengths(inputs | {"coupling": float64(c)}, shape) > 0).sum()) for c in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_equal_phases_have_the_full_order() -> None:
    shape = Shape(rows=9, keys=9)
    inputs = inputs_of(shape)
    in_phase = inputs | {"theta": torch.ones_like(inputs["theta"])}
    distance = torch.cdist(inputs["omega_q"], inputs["omega_k"].repeat_interleave(2, dim=1)) ** 2
    decay = torch.exp(-2 * inputs["alpha"][:, None, None] * distance)
    expected = (decay - distance / inputs["coupling"] ** 2).clamp(min=0).sqrt()
    assert error(strengths(in_phase, shape), expected) <= EXACT


def test_turning_all_phases_together_changes_nothing() -> None:
    inputs = inputs_of(Shape())
    turned = inputs | {"theta": inputs["theta"] + float64([0.3, -2.0, 1.0, 9.0, 0.0])}
    out = selective_synchronization_attention(**inputs, causal=True)
    assert error(out, selective_synchronization_attention(**turned, causal=True)) <= EXACT


def test_moving_all_frequencies_together_changes_nothing() -> None:
    inputs = inputs_of(Shape())
    moved = inputs | {name: inputs[name] - 1.5 for name in ("omega_q", "omega_k")}
    out = selective_synchronization_attention(**inputs)
    assert error(out, selective_synchronization_attention(**moved)) <= EXACT


def test_phases_that_cancel_leave_only_the_token_itself_with_finite_gradients() -> None:
    inputs = self_inputs(Shape(heads=2, rows=8, keys=8))
    half_turns = torch.pi * float64([0, 1, 0, -1, 0, 1, 0, -1])
    inputs["theta"] = half_turns[:, None].expand(2, 2, 8, 5).contiguous()
    inputs["omega_q"] = inputs["omega_q"].round()
    inputs["omega_k"] = inputs["omega_q"].clone()
    for tensor in inputs.values():
        tensor.requires_grad_()
    out = selective_synchronization_attention(**inputs)
    out.sum().backward()
    same = (torch.cdist(inputs["omega_q"], inputs["omega_k"]) == 0).double()
    expected = same @ inputs["v"] / same.sum(-1, keepdim=True)
    assert error(out, expected) <= 1e-7
    assert all(tensor.grad.isfinite().all() for tensor in inputs.values())


def test_the_last_causal_row_has_the_order_of_all_keys() -> None:
    inputs = inputs_of(Shape(rows=9, keys=9))
    causal = selective_synchronization_attention(**inputs, causal=True)
    whole = selective_synchronization_attention(**inputs)
    assert error(causal[:, :, -1], whole[:, :, -1]) <= EXACT
    assert error(causal[:, :, 1], whole[:, :, 1]) > 1e-3


def test_the_order_is_that_of_the_visible_phases() -> None:
    inputs = inputs_of(Shape(rows=4, keys=9))
    out = selective_synchronization_attention(**inputs, kv_lengths=int32(5, 5))
    short = inputs | {name: inputs[name][:, :, :5] for name in ("omega_k", "theta", "v")}
    assert error(out, selective_synchronization_attention(**short)) <= EXACT


@pytest.mark.parametrize("eps", [1e-8, 0.1, 3.0])
def test_eps_is_added_to_the_denominator(eps: float) -> None:
    shape = Shape()
    inputs = inputs_of(shape) | {"v": one_hot_values(shape)}
    total = strengths(inputs, shape).sum(-1)
    sums = selective_synchronization_attention(**inputs, eps=eps).sum(-1)
    assert error(sums, total / (total + eps)) <= EXACT


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("top_k", [1, 2, 5, 40])
def test_ties_of_top_k_go_to_the_lower_index(top_k: int, causal: bool) -> None:
    shape = Shape(rows=30, keys=37, width=2)
    generator = torch.Generator().manual_seed(0)
    inputs = inputs_of(shape)
    for name in ("omega_q", "omega_k"):
        inputs[name] = 0.5 * torch.randint(-1, 2, inputs[name].shape, generator=generator).double()
    expected = formulas.ssa(**inputs, top_k=top_k, causal=causal)
    out = selective_synchronization_attention(**inputs, top_k=top_k, causal=causal)
    assert error(out, expected) <= EXACT


def test_equal_keys_keep_the_first_two() -> None:
    inputs = line(torch.full((6,), 0.25), 4.0, 0.5)
    out = selective_synchronization_attention(**inputs, top_k=2, eps=0.0)[0, 0, 0]
    assert error(out, torch.tensor([0.5, 0.5, 0.0, 0.0, 0.0, 0.0])) <= EXACT


def test_a_top_k_of_all_keys_is_none() -> None:
    inputs = inputs_of(Shape())
    out = selective_synchronization_attention(**inputs, top_k=7)
    assert torch.equal(out, selective_synchronization_attention(**inputs))


def test_top_k_keeps_the_strongest_and_leaves_them_as_they_are() -> None:
    shape = Shape(rows=9, keys=9)
    inputs = inputs_of(shape)
    every, kept = strengths(inputs, shape), strengths(inputs, shape, top_k=2)
    smallest = every.topk(2, dim=-1).values[..., -1:]
    assert error(kept, torch.where(every >= smallest, every, 0.0)) <= EXACT
