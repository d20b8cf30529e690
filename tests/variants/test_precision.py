"""Half and single precision against the formula of the rounded inputs, and the types of outputs and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.variants.cases import VISIBILITIES, Case, Inputs, Shape, each_case, error, tensors_of, with_gradients

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
SHAPE = Shape(batch=1, heads=2, kv_heads=1, rows=9, keys=11)

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def relative_error(case: Case, inputs: Inputs, scale: str, **visibility: Any) -> float:
    expected = case.expected(inputs, **visibility)
    largest = expected if scale == "output" else inputs["v"].double()
    return error(case(inputs, **visibility), expected) / float(largest.abs().max())


@each_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rule", ["all", "prefill", "causal"])
@pytest.mark.parametrize("seed", [0, 1])
def test_half_precision_is_off_by_little_more_than_its_last_rounding(
    case: Case, dtype: torch.dtype, rule: str, seed: int
) -> None:
    shape = case.fit(SHAPE)
    inputs = case.inputs(shape, dtype, seed)
    bound = 2.0 * torch.finfo(dtype).eps
    assert relative_error(case, inputs, "output", **VISIBILITIES[rule](shape)) <= bound


@each_case
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_single_precision_is_off_by_less_than_a_rounding_per_term_of_its_sums(case: Case, seed: int) -> None:
    inputs = case.inputs(SHAPE, torch.float32, seed)
    terms = inputs["v"].shape[2] + SHAPE.width
    assert relative_error(case, inputs, "values") <= terms * torch.finfo(torch.float32).eps


@each_case
@each_dtype
def test_output_has_the_dtype_of_v(case: Case, dtype: torch.dtype) -> None:
    assert case(case.inputs(SHAPE, dtype), causal=True).dtype == dtype


@each_case
@each_dtype
def test_gradients_have_the_dtype_of_their_inputs(case: Case, dtype: torch.dtype) -> None:
    inputs = with_gradients(case.inputs(SHAPE, dtype))
    case(inputs, causal=True).sum().backward()
    assert all(tensor.grad.dtype == dtype for tensor in tensors_of(inputs))
    assert all(tensor.grad.isfinite().all() for tensor in tensors_of(inputs))


@each_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_gradients_are_those_of_the_rounded_inputs(case: Case, dtype: torch.dtype) -> None:
    half = with_gradients(case.inputs(SHAPE, dtype))
    double = with_gradients({name: _double(value) for name, value in half.items()})
    for inputs in (half, double):
        case(inputs).square().double().sum().backward()
    largest = max(float(tensor.grad.abs().max()) for tensor in tensors_of(double))
    for found, expected in zip(tensors_of(half), tensors_of(double), strict=True):
        assert error(found.grad, expected.grad) <= 8.0 * torch.finfo(dtype).eps * largest


def _double(value: Any) -> Any:
    return [item.double() for item in value] if isinstance(value, list) else value.double()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@each_case
def test_parameters_may_stay_in_single_precision(case: Case, dtype: torch.dtype) -> None:
    inputs = case.inputs(SHAPE, dtype)
    wide = inputs | {name: inputs[name].float() for name in ("sigma", "coupling", "alpha", "beta") if name in inputs}
    out = case(wide, causal=True)
    assert torch.equal(out, case(inputs, causal=True))


@each_case
def test_half_sums_do_not_overflow(case: Case) -> None:
    inputs = case.inputs(Shape(batch=1, heads=1, kv_heads=1, rows=64, keys=64), torch.float16)
    scaled = inputs | {"v": inputs["v"] * 4000.0}
    options = {"q_start": torch.zeros(1, dtype=torch.int32)}
    expected = case(inputs | {"v": inputs["v"].double() * 4000.0} | _doubled(inputs), **options)
    assert error(case(scaled, **options), expected) <= 2.0**-9 * float(expected.abs().max())


def _doubled(inputs: Inputs) -> Inputs:
    return {name: _double(value) for name, value in inputs.items() if name != "v"}


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_does_not_round_what_the_operator_holds(case: Case, dtype: torch.dtype) -> None:
    inputs = case.inputs(case.fit(SHAPE), dtype, 0)
    plain = case(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(case(inputs), plain)
