"""Gradients of every operator and option against finite differences in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tests.variants.cases import (
    VISIBILITIES,
    Case,
    Inputs,
    Shape,
    each_case,
    each_unbound,
    each_variant,
    error,
    tensors_of,
    with_gradients,
)

TINY = Shape(batch=2, heads=2, kv_heads=1, rows=3, keys=4, width=2, value_width=2)


def call_with_tensors(case: Case, inputs: Inputs, visibility: dict[str, Any]) -> Any:
    """The call as a function of its flat tensors."""

    def call(*tensors: Tensor) -> Tensor:
        rest = iter(tensors)
        rebuilt = {
            name: [next(rest) for _ in value] if isinstance(value, list) else next(rest)
            for name, value in inputs.items()
        }
        return case(rebuilt, **visibility)

    return call


@each_case
@pytest.mark.parametrize("rule", ["all", "prefill", "before-the-keys"])
def test_gradients_are_those_of_finite_differences(case: Case, rule: str) -> None:
    shape = case.fit(TINY)
    inputs = with_gradients(case.inputs(shape))
    call = call_with_tensors(case, inputs, VISIBILITIES[rule](shape))
    assert torch.autograd.gradcheck(call, tensors_of(inputs), fast_mode=case.tokens is not None)


@each_unbound
def test_gradients_of_blocks_are_those_of_the_rows_one_by_one(case: Case) -> None:
    inputs = with_gradients(case.inputs(Shape(batch=1, heads=2, kv_heads=1, rows=70, keys=70)))
    case(inputs, causal=True).square().sum().backward()
    single = with_gradients(inputs)
    for i in range(70):
        row = single | {name: _rows(single[name], i) for name in case.per_row}
        start = torch.tensor([i], dtype=torch.int32)
        case(row, causal=True, q_start=start).square().sum().backward()
    for blocks, rows in zip(tensors_of(inputs), tensors_of(single), strict=True):
        assert error(blocks.grad, rows.grad) <= 1e-11 * max(1.0, float(rows.grad.abs().max()))


def _rows(value: Any, i: int) -> Any:
    return [_rows(item, i) for item in value] if isinstance(value, list) else value[:, :, i : i + 1]


@each_case
def test_hidden_keys_get_a_gradient_of_exactly_zero(case: Case) -> None:
    shape = case.fit(Shape(rows=8, keys=8))
    inputs = with_gradients(case.inputs(shape))
    case(inputs, kv_lengths=torch.tensor([5, 3], dtype=torch.int32)).square().sum().backward()
    assert inputs["v"].grad[0, :, :5].any()
    for tensor in tensors_of({name: inputs[name] for name in case.per_key}):
        assert not tensor.grad[0, :, 5:].any()
        assert not tensor.grad[1, :, 3:].any()


@each_case
def test_keys_before_the_start_get_a_gradient_of_exactly_zero(case: Case) -> None:
    shape = case.fit(Shape(rows=8, keys=8))
    inputs = with_gradients(case.inputs(shape))
    case(inputs, causal=True, kv_start=torch.tensor([2, 4], dtype=torch.int32)).square().sum().backward()
    assert inputs["v"].grad[0, :, 2:].any()
    for tensor in tensors_of({name: inputs[name] for name in case.per_key}):
        assert not tensor.grad[0, :, :2].any()
        assert not tensor.grad[1, :, :4].any()


@each_variant
def test_only_what_wants_a_gradient_gets_one(case: Case) -> None:
    inputs = case.inputs()
    inputs["v"].requires_grad_()
    case(inputs).sum().backward()
    assert inputs["v"].grad is not None
    assert all(tensor.grad is None for name in inputs if name != "v" for tensor in tensors_of({name: inputs[name]}))


@each_variant
def test_gradients_do_not_depend_on_what_else_wants_one(case: Case) -> None:
    every, alone = with_gradients(case.inputs()), case.inputs()
    alone["v"].requires_grad_()
    for inputs in (every, alone):
        case(inputs).square().sum().backward()
    assert torch.equal(every["v"].grad, alone["v"].grad)


@each_case
def test_gradients_have_gradients(case: Case) -> None:
    shape = case.fit(TINY)
    inputs = with_gradients(case.inputs(shape))
    call = call_with_tensors(case, inputs, VISIBILITIES["prefill"](shape))
    assert torch.autograd.gradgradcheck(call, tensors_of(inputs), fast_mode=True)


@each_variant
def test_second_derivatives_stop_at_each_input_where_one_is_made_from_another(case: Case) -> None:
    inputs = case.inputs(TINY)
    first, *rest = tensors_of(inputs)
    call = call_with_tensors(case, inputs, {})

    def tied(x: Tensor) -> Tensor:
        """The last of the inputs, the values or a parameter, depends on the first."""
        return call(x, *rest[:-1], rest[-1] * (1.0 + 0.1 * x.mean()))

    assert torch.autograd.gradgradcheck(tied, (first.requires_grad_(),))


@each_variant
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_changes_no_gradient(case: Case, reentrant: bool) -> None:
    plain, again = with_gradients(case.inputs()), with_gradients(case.inputs())
    call = call_with_tensors(case, plain, VISIBILITIES["causal-lengths"](Shape()))
    call(*tensors_of(plain)).square().sum().backward()
    checkpoint(call, *tensors_of(again), use_reentrant=reentrant).square().sum().backward()
    for expected, found in zip(tensors_of(plain), tensors_of(again), strict=True):
        assert torch.equal(found.grad, expected.grad)
