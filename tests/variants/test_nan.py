"""NaN does not pass for a number: it reaches every row that depends on it, whatever is selected, and no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.variants.cases import VISIBILITIES, Case, Inputs, Shape, each_case, int32, map_tensors
from tests.variants.formulas import Visibility, near_on_grid

SHAPE = Shape(rows=9, keys=11)
KEY = 4

each_rule = pytest.mark.parametrize("rule", ["all", "causal-lengths"])


def broken(inputs: Inputs, name: str, head: int, token: int) -> Inputs:
    """The inputs with NaN in the first element of a token of sample 0; of a list in its last tensor."""

    def put(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed[0, head, token].view(-1)[0] = torch.nan
        return changed

    value = inputs[name]
    return inputs | {name: [*value[:-1], put(value[-1])] if isinstance(value, list) else put(value)}


def sees(case: Case, visibility: Visibility, i: int, j: int) -> bool:
    """Whether row i of sample 0 sees key j, its neighbourhood included."""
    window, grid = case.options.get("window"), case.options.get("grid")
    near = window is None or abs(visibility.position(0, i) - j) < window
    return visibility.sees(0, i, j) and near and (grid is None or near_on_grid(grid, i, j))


def assert_broken(out: Tensor, clean: Tensor, where: Tensor) -> None:
    """NaN exactly there, and elsewhere what it was."""
    assert torch.equal(out.isnan(), where)
    assert torch.allclose(out.nan_to_num(0.0), clean.masked_fill(where, 0.0), rtol=1e-12, atol=1e-12)


@each_case
@each_rule
def test_a_row_is_nan_where_its_query_is(case: Case, rule: str) -> None:
    shape = case.fit(SHAPE)
    inputs, options = case.inputs(shape), VISIBILITIES[rule](shape)
    clean, visibility = case(inputs, **options), Visibility(shape.rows, shape.keys, **options)
    row = shape.rows - 2
    sees_any = any(sees(case, visibility, row, j) for j in range(shape.keys))
    for name in case.per_row:
        where = torch.zeros_like(clean, dtype=torch.bool)
        where[0, 1, row] = sees_any
        assert_broken(case(broken(inputs, name, 1, row), **options), clean, where)


@each_case
@each_rule
def test_every_row_that_sees_a_nan_key_is_nan(case: Case, rule: str) -> None:
    shape = case.fit(SHAPE)
    inputs, options = case.inputs(shape), VISIBILITIES[rule](shape)
    clean, visibility = case(inputs, **options), Visibility(shape.rows, shape.keys, **options)
    group = shape.heads // shape.kv_heads
    for name in case.per_key:
        if name == "v":
            continue
        where = torch.zeros_like(clean, dtype=torch.bool)
        for i in range(shape.rows):
            where[0, group : 2 * group, i] = sees(case, visibility, i, KEY)
        assert_broken(case(broken(inputs, name, 1, KEY), **options), clean, where)


@each_case
@each_rule
def test_a_nan_value_reaches_the_rows_that_weigh_it_and_no_other_column(case: Case, rule: str) -> None:
    shape = case.fit(SHAPE)
    inputs, options = case.inputs(shape), VISIBILITIES[rule](shape)
    clean, weights = case(inputs, **options), case.weights(inputs, **options)
    out = case(broken(inputs, "v", 1, KEY), **options)
    group = shape.heads // shape.kv_heads
    weighed = weights[0, group : 2 * group, :, KEY] != 0
    assert out[0, group : 2 * group, :, 0][weighed].isnan().all()
    out[0, group : 2 * group, :, 0] = clean[0, group : 2 * group, :, 0]
    assert_broken(out, clean, torch.zeros_like(clean, dtype=torch.bool))


@each_case
@pytest.mark.parametrize("causal", [False, True])
def test_nan_before_the_start_has_no_effect(case: Case, causal: bool) -> None:
    shape = case.fit(SHAPE)
    inputs, options = case.inputs(shape), {"causal": causal, "kv_start": int32(2, shape.keys - 1)}
    clean = case(inputs, **options)

    def fill(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed[0, :, :2] = changed[1, :, : shape.keys - 1] = torch.nan
        return changed

    dirty = inputs | map_tensors(fill, {name: inputs[name] for name in case.per_key})
    assert torch.equal(case(dirty, **options), clean)


@each_case
@pytest.mark.parametrize("causal", [False, True])
def test_nan_beyond_the_length_has_no_effect(case: Case, causal: bool) -> None:
    shape = case.fit(SHAPE)
    inputs, options = case.inputs(shape), {"causal": causal, "kv_lengths": int32(shape.keys - 3, 2)}
    clean = case(inputs, **options)

    def fill(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed[0, :, shape.keys - 3 :] = changed[1, :, 2:] = torch.nan
        return changed

    beyond: dict[str, Any] = map_tensors(fill, {name: inputs[name] for name in case.per_key})
    assert torch.equal(case(inputs | beyond, **options), clean)
