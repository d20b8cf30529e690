"""What holds for every operator: formula, visibility, empty rows, causality, chunks and strides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.variants.cases import (
    CASES,
    VISIBILITIES,
    Case,
    Inputs,
    Shape,
    each,
    each_case,
    each_shape,
    each_unbound,
    each_variant,
    each_visibility,
    error,
    examples,
    int32,
    map_tensors,
    tensors_of,
    with_gradients,
)
from tests.variants.formulas import Visibility

EXACT = 1e-12
"""Bound of float64 errors relative to the largest result: a few thousand roundings."""

LONG = Shape(batch=1, heads=2, kv_heads=1, rows=150, keys=150)
"""More tokens than any block of rows holds."""

causal_too = pytest.mark.parametrize("rule", ["all", "prefill"])


def assert_equals_formula(case: Case, inputs: Inputs, **visibility: Any) -> None:
    expected = case.expected(inputs, **visibility)
    actual = case(inputs, **visibility)
    assert actual.shape == expected.shape
    assert error(actual, expected) <= EXACT * max(1.0, float(expected.abs().max()))


def replaced(inputs: Inputs, names: tuple[str, ...], at: Any) -> Inputs:
    """The inputs with other, larger numbers at some places of axis 2 in the named tensors."""

    def change(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed[:, :, at] = 30.0 + 100.0 * changed[:, :, at].flip(-1).abs()
        return changed

    return inputs | map_tensors(change, {name: inputs[name] for name in names})


def empty_rows(case: Case, shape: Shape, visibility: dict[str, Any]) -> list[tuple[int, int]]:
    """Rows (b, i) to which the predicate shows no key."""
    shape = case.fit(shape)
    rule = Visibility(shape.rows, shape.keys, **visibility)
    return [(b, i) for b in range(shape.batch) for i in range(shape.rows) if not rule.seen(b, i)]


@each_case
@each_shape
@causal_too
def test_equals_the_formula(case: Case, shape: Shape, rule: str) -> None:
    shape = case.fit(shape)
    assert_equals_formula(case, case.inputs(shape), **VISIBILITIES[rule](shape))


@each_case
@each_visibility
def test_equals_the_formula_whatever_is_visible(case: Case, visibility: Any) -> None:
    for shape in (case.fit(Shape(rows=6, keys=9)), case.fit(Shape(rows=21, keys=17))):
        assert_equals_formula(case, case.inputs(shape, seed=1), **visibility(shape))


@st.composite
def calls(draw: st.DrawFn) -> tuple[Shape, dict[str, Any]]:
    kv_heads = draw(st.integers(1, 3))
    small = st.integers(1, 6)
    shape = Shape(
        batch=draw(st.integers(1, 3)),
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        rows=draw(st.integers(1, 20)),
        keys=draw(st.integers(1, 20)),
        width=draw(small),
        value_width=draw(small),
    )
    numbers = st.lists(st.integers(-3, 25), min_size=shape.batch, max_size=shape.batch)
    visibility: dict[str, Any] = {"causal": draw(st.booleans())}
    for name in ("kv_lengths", "q_start", "kv_start"):
        if draw(st.booleans()):
            visibility[name] = int32(*draw(numbers))
    return shape, visibility


@each_case
@examples
@given(call=calls(), seed=st.integers(0, 99))
def test_equals_the_formula_for_any_shape(case: Case, call: tuple[Shape, dict[str, Any]], seed: int) -> None:
    shape, visibility = call
    assert_equals_formula(case, case.inputs(shape, seed=seed), **visibility)


@each_case
@each_visibility
def test_dense_weights_times_v_are_the_output(case: Case, visibility: Any) -> None:
    shape = case.fit(Shape(rows=6, keys=9))
    inputs, options = case.inputs(shape), visibility(shape)
    weights = case.weights(inputs, **options)
    values = inputs["v"].repeat_interleave(shape.heads // shape.kv_heads, dim=1)
    assert weights.shape == (shape.batch, shape.heads, shape.rows, shape.keys)
    assert error(weights @ values, case(inputs, **options)) <= EXACT


@each_case
@each_visibility
def test_dense_weights_of_hidden_keys_are_zero(case: Case, visibility: Any) -> None:
    shape = case.fit(Shape(rows=6, keys=9))
    options = visibility(shape)
    rule = Visibility(shape.rows, shape.keys, **options)
    weights = case.weights(case.inputs(shape), **options)
    for b in range(shape.batch):
        for i in range(shape.rows):
            hidden = [j for j in range(shape.keys) if not rule.sees(b, i, j)]
            assert torch.equal(weights[b, :, i, hidden], torch.zeros(shape.heads, len(hidden)).double())


@each_case
@pytest.mark.parametrize("rule", ["one-empty", "before-the-keys", "start-behind-the-end"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_rows_that_see_no_key_are_exactly_zero(case: Case, rule: str, dtype: torch.dtype) -> None:
    shape = case.fit(Shape(rows=8, keys=8))
    visibility = VISIBILITIES[rule](shape)
    out = case(case.inputs(shape, dtype), **visibility)
    empty = empty_rows(case, shape, visibility)
    assert empty
    assert all(torch.equal(out[b, :, i], torch.zeros_like(out[b, :, i])) for b, i in empty)
    assert torch.isfinite(out).all()


@each_case
@pytest.mark.parametrize("rule", ["one-empty", "before-the-keys", "start-behind-the-end"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_rows_that_see_no_key_leave_gradients_finite(case: Case, rule: str, dtype: torch.dtype) -> None:
    shape = case.fit(Shape(rows=8, keys=8))
    inputs = with_gradients(case.inputs(shape, dtype))
    case(inputs, **VISIBILITIES[rule](shape)).square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in tensors_of(inputs))


@each_case
def test_gradients_are_zero_when_nothing_is_visible(case: Case) -> None:
    inputs = with_gradients(case.inputs())
    case(inputs, kv_lengths=int32(0, 0)).sum().backward()
    assert all(torch.equal(tensor.grad, torch.zeros_like(tensor)) for tensor in tensors_of(inputs))


@each_unbound
@pytest.mark.parametrize(
    "shape", [pytest.param(Shape(keys=0), id="no-keys"), pytest.param(Shape(rows=0), id="no-rows")]
)
@causal_too
def test_no_keys_give_zeros_and_no_rows_give_none(case: Case, shape: Shape, rule: str) -> None:
    out = case(case.inputs(shape), **VISIBILITIES[rule](shape))
    assert torch.equal(out, torch.zeros(2, 4, shape.rows, 3).double())


@each_unbound
@pytest.mark.parametrize(
    "shape", [pytest.param(Shape(keys=0), id="no-keys"), pytest.param(Shape(rows=0), id="no-rows")]
)
def test_no_keys_or_no_rows_give_no_gradient(case: Case, shape: Shape) -> None:
    inputs = with_gradients(case.inputs(shape))
    case(inputs, causal=True).sum().backward()
    assert all(tensor.grad is None or not tensor.grad.any() for tensor in tensors_of(inputs))


@each_case
@pytest.mark.parametrize("cut", [1, 10, 70, 149])
def test_the_future_leaves_earlier_rows_bit_equal(case: Case, cut: int) -> None:
    shape = case.fit(LONG)
    cut = min(cut, shape.rows - 1)
    inputs = case.inputs(shape)
    changed = replaced(inputs, case.per_key + case.per_row, slice(cut, None))
    before, after = case(inputs, causal=True), case(changed, causal=True)
    assert torch.equal(before[:, :, :cut], after[:, :, :cut])
    assert not torch.equal(before[:, :, cut:], after[:, :, cut:])


@each_unbound
def test_the_future_leaves_rows_bit_equal_wherever_they_start(case: Case) -> None:
    inputs = case.inputs(replace(LONG, batch=2, rows=90))
    starts = int32(-20, 37)
    changed = replaced(inputs, case.per_key, slice(40, None))
    before, after = (case(x, causal=True, q_start=starts) for x in (inputs, changed))
    assert torch.equal(before[0, :, :60], after[0, :, :60])
    assert torch.equal(before[1, :, :3], after[1, :, :3])


@each_case
@pytest.mark.parametrize("causal", [False, True])
def test_keys_past_the_length_do_not_matter_by_a_bit(case: Case, causal: bool) -> None:
    inputs = case.inputs(replace(LONG, keys=140))
    keys = inputs["v"].shape[2]
    length = keys - 5
    changed = replaced(inputs, case.per_key, slice(length, None))
    options = {"causal": causal, "kv_lengths": int32(length)}
    assert torch.equal(case(inputs, **options), case(changed, **options))


@each_case
@pytest.mark.parametrize("causal", [False, True])
def test_keys_before_the_start_do_not_matter_by_a_bit(case: Case, causal: bool) -> None:
    inputs = case.inputs(replace(LONG, keys=140))
    changed = replaced(inputs, case.per_key, slice(None, 5))
    options = {"causal": causal, "kv_start": int32(5)}
    assert torch.equal(case(inputs, **options), case(changed, **options))


@each_unbound
@pytest.mark.parametrize("causal", [False, True])
def test_keys_from_a_start_on_are_the_keys_cut_off_before_it(case: Case, causal: bool) -> None:
    inputs = case.inputs(replace(LONG, batch=2, rows=90, keys=140))
    cut = inputs | map_tensors(lambda x: x[:, :, 37:], {name: inputs[name] for name in case.per_key})
    positions = int32(30, 44)
    whole = case(inputs, causal=causal, q_start=positions, kv_start=int32(37, 37))
    assert error(whole, case(cut, causal=causal, q_start=positions - 37)) <= EXACT


@each_case
@causal_too
def test_every_batch_entry_stands_alone(case: Case, rule: str) -> None:
    shape = case.fit(Shape(batch=3, rows=9, keys=9))
    inputs, visibility = case.inputs(shape), VISIBILITIES[rule](shape)
    out = case(inputs, **visibility)
    batched = case.per_row + case.per_key
    for b in range(3):
        alone = inputs | map_tensors(lambda x, b=b: x[b : b + 1], {name: inputs[name] for name in batched})
        entry = {name: value[b : b + 1] if isinstance(value, Tensor) else value for name, value in visibility.items()}
        assert error(case(alone, **entry), out[b : b + 1]) <= EXACT


@each_unbound
def test_every_row_stands_alone(case: Case) -> None:
    inputs = case.inputs(Shape(rows=9, keys=9))
    out = case(inputs, causal=True)
    for i in range(9):
        row = inputs | map_tensors(lambda x, i=i: x[:, :, i : i + 1], {n: inputs[n] for n in case.per_row})
        start = int32(i, i)
        assert error(case(row, causal=True, q_start=start), out[:, :, i : i + 1]) <= EXACT


@each(*[case for case in CASES if not case.positional])
def test_permuting_rows_permutes_the_output(case: Case) -> None:
    inputs = case.inputs(Shape(rows=9, keys=11))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    permuted = inputs | map_tensors(lambda x: x[:, :, order], {name: inputs[name] for name in case.per_row})
    assert error(case(permuted), case(inputs)[:, :, order]) <= EXACT


@each(*[case for case in CASES if not case.positional])
def test_permuting_keys_with_their_values_changes_nothing(case: Case) -> None:
    inputs = case.inputs(Shape(rows=9, keys=11))
    order = torch.randperm(11, generator=torch.Generator().manual_seed(5))
    permuted = inputs | map_tensors(lambda x: x[:, :, order], {name: inputs[name] for name in case.per_key})
    assert error(case(permuted), case(inputs)) <= EXACT


@each_case
@causal_too
def test_grouped_heads_are_repeated_key_heads(case: Case, rule: str) -> None:
    shape = case.fit(Shape(heads=6, kv_heads=2))
    inputs, visibility = case.inputs(shape), VISIBILITIES[rule](shape)
    repeated = inputs | map_tensors(
        lambda x: x.repeat_interleave(3, dim=1), {name: inputs[name] for name in case.per_key}
    )
    assert error(case(inputs, **visibility), case(repeated, **visibility)) <= EXACT


@each_case
def test_output_is_linear_in_v(case: Case) -> None:
    inputs, other = case.inputs(), case.inputs(seed=1)["v"]
    both = case(inputs | {"v": 2.0 * inputs["v"] - 3.0 * other})
    assert error(both, 2.0 * case(inputs) - 3.0 * case(inputs | {"v": other})) <= EXACT


@each_case
@each_visibility
def test_rows_in_chunks_give_the_same(case: Case, visibility: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = case.fit(Shape(rows=37, keys=41))
    inputs, options = case.inputs(shape), visibility(shape)
    whole = case(inputs, **options)
    monkeypatch.setattr("attnexport.variants.dense.CHUNK_ELEMENTS", {"cpu": 2000})
    with torch.no_grad():
        assert error(case(inputs, **options), whole) <= EXACT


@each_case
@causal_too
def test_strides_do_not_matter(case: Case, rule: str) -> None:
    shape = case.fit(Shape(rows=9, keys=9))
    inputs, visibility = case.inputs(shape), VISIBILITIES[rule](shape)

    def strided(x: Tensor) -> Tensor:
        swapped = x.transpose(1, 2)
        return torch.stack([swapped, torch.full_like(swapped, 9.0)], dim=-1)[..., 0].transpose(1, 2)

    changed = map_tensors(lambda x: strided(x) if x.dim() > 1 else x, inputs)
    assert not any(x.is_contiguous() for x in tensors_of(changed) if x.dim() > 1)
    out = case(changed, **visibility)
    assert out.is_contiguous()
    assert error(out, case(inputs, **visibility)) <= EXACT


@each_variant
def test_int64_lengths_and_starts_are_taken_too(case: Case) -> None:
    inputs, visibility = case.inputs(), VISIBILITIES["prefill"](Shape())
    visibility["kv_start"] = int32(1, 0)
    wide = visibility | {name: visibility[name].long() for name in ("kv_lengths", "q_start", "kv_start")}
    assert torch.equal(case(inputs, **visibility), case(inputs, **wide))


@each_case
def test_inputs_are_left_as_they_are(case: Case) -> None:
    inputs = case.inputs()
    case(inputs, causal=True)
    assert all(map(torch.equal, tensors_of(inputs), tensors_of(case.inputs())))
