"""The visibility rule against the specification's predicate written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnexport.variants import visibility as rules
from attnexport.variants.visibility import present_keys, row_positions, visible_counts, visible_mask
from tests.variants.cases import VISIBILITIES, Shape, each_visibility, examples, int32
from tests.variants.formulas import Visibility

CPU = torch.device("cpu")


@st.composite
def calls(draw: st.DrawFn) -> tuple[int, int, dict[str, Any]]:
    rows, keys = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    number = st.lists(st.integers(-4, 14), min_size=2, max_size=2)
    visibility: dict[str, Any] = {"causal": draw(st.booleans())}
    for name in ("kv_lengths", "q_start", "kv_start"):
        given = draw(st.none() | number)
        visibility[name] = None if given is None else int32(*given)
    return rows, keys, visibility


@examples
@given(calls())
def test_mask_is_the_predicate(call: tuple[int, int, dict[str, Any]]) -> None:
    rows, keys, visibility = call
    rule = Visibility(rows, keys, **visibility)
    mask = visible_mask(rows, keys, rules.Visibility(**visibility), CPU)
    expected = torch.tensor(
        [[[rule.sees(b, i, j) for j in range(keys)] for i in range(rows)] for b in range(2)]
    ).reshape(2, 1, rows, keys)
    assert torch.equal(torch.ones_like(expected) if mask is None else mask.expand_as(expected), expected)


@examples
@given(calls())
def test_counts_are_the_number_of_visible_keys(call: tuple[int, int, dict[str, Any]]) -> None:
    rows, keys, visibility = call
    rule = Visibility(rows, keys, **visibility)
    counts = visible_counts(rows, keys, rules.Visibility(**visibility), CPU)
    expected = torch.tensor([[len(rule.seen(b, i)) for i in range(rows)] for b in range(2)])
    assert counts.dtype == torch.int64
    assert torch.equal(counts.expand(2, rows), expected.reshape(2, rows))


@pytest.mark.parametrize("name", ["all", "start-only"])
def test_mask_is_none_when_every_row_sees_every_key(name: str) -> None:
    visibility = VISIBILITIES[name](Shape())
    assert visible_mask(7, 7, rules.Visibility(**visibility), CPU) is None


def test_causal_is_aligned_to_the_bottom_right_corner() -> None:
    mask = visible_mask(2, 5, rules.Visibility(causal=True), CPU)
    assert mask is not None
    assert mask[0, 0].tolist() == [[True, True, True, True, False], [True, True, True, True, True]]


def test_causal_with_more_rows_than_keys_hides_everything_from_the_first_rows() -> None:
    counts = visible_counts(5, 2, rules.Visibility(causal=True), CPU)
    assert counts.tolist() == [[0, 0, 0, 1, 2]]


def test_prefill_starts_every_row_of_the_batch_at_zero() -> None:
    lengths, starts = int32(3, 1), int32(0, 0)
    counts = visible_counts(3, 3, rules.Visibility(True, lengths, starts), CPU)
    assert counts.tolist() == [[1, 2, 3], [1, 1, 1]]


def test_decoding_starts_at_length_minus_rows() -> None:
    lengths = int32(6, 3)
    counts = visible_counts(2, 8, rules.Visibility(True, lengths, lengths - 2), CPU)
    assert counts.tolist() == [[5, 6], [2, 3]]


def test_lengths_are_clipped_to_the_keys() -> None:
    lengths = int32(9, -4)
    counts = visible_counts(1, 5, rules.Visibility(kv_lengths=lengths), CPU)
    assert counts.tolist() == [[5], [0]]


def test_a_start_hides_the_keys_before_it() -> None:
    visibility = rules.Visibility(True, int32(4, 5), int32(0, 0), kv_start=int32(2, 0))
    counts = visible_counts(5, 5, visibility, CPU)
    assert counts.tolist() == [[0, 0, 1, 2, 2], [1, 2, 3, 4, 5]]


def test_rows_before_the_first_position_see_nothing_when_causal() -> None:
    starts = int32(-2, -9)
    counts = visible_counts(4, 6, rules.Visibility(causal=True, q_start=starts), CPU)
    assert counts.tolist() == [[0, 0, 1, 2], [0, 0, 0, 0]]
    assert visible_counts(4, 6, rules.Visibility(q_start=starts), CPU).tolist() == [[6, 6, 6, 6]]


@examples
@given(calls())
def test_present_keys_are_those_that_some_row_may_see(call: tuple[int, int, dict[str, Any]]) -> None:
    _, keys, visibility = call
    rule = Visibility(1, keys, **(visibility | {"causal": False}))
    present = present_keys(keys, rules.Visibility(**visibility), CPU)
    expected = torch.tensor([[rule.sees(b, 0, j) for j in range(keys)] for b in range(2)]).reshape(2, keys).bool()
    assert torch.equal(torch.ones_like(expected) if present is None else present, expected)


@each_visibility
def test_row_positions_are_the_start_plus_the_row(visibility: Any) -> None:
    shape = Shape(rows=4, keys=6)
    arguments = visibility(shape)
    rule = Visibility(4, 6, **arguments)
    positions = row_positions(4, 6, arguments.get("q_start"), CPU)
    expected = [[rule.position(b, i) for i in range(4)] for b in range(2)]
    assert positions.expand(2, 4).tolist() == expected
