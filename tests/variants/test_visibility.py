"""The visibility rule against the specification's predicate written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnexport.variants.visibility import row_positions, visible_counts, visible_mask
from tests.variants.cases import VISIBILITIES, Shape, each_visibility, examples, int32
from tests.variants.formulas import Visibility

CPU = torch.device("cpu")


def rule_arguments(visibility: dict[str, Any]) -> dict[str, Any]:
    return {"causal": False, "kv_lengths": None, "q_start": None} | visibility


@st.composite
def calls(draw: st.DrawFn) -> tuple[int, int, dict[str, Any]]:
    rows, keys = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    number = st.lists(st.integers(-4, 14), min_size=2, max_size=2)
    kv_lengths, q_start = draw(st.none() | number), draw(st.none() | number)
    visibility = {
        "causal": draw(st.booleans()),
        "kv_lengths": None if kv_lengths is None else int32(*kv_lengths),
        "q_start": None if q_start is None else int32(*q_start),
    }
    return rows, keys, visibility


@examples
@given(calls())
def test_mask_is_the_predicate(call: tuple[int, int, dict[str, Any]]) -> None:
    rows, keys, visibility = call
    rule = Visibility(rows, keys, **visibility)
    mask = visible_mask(rows, keys, device=CPU, **visibility)
    expected = torch.tensor(
        [[[rule.sees(b, i, j) for j in range(keys)] for i in range(rows)] for b in range(2)]
    ).reshape(2, 1, rows, keys)
    assert torch.equal(torch.ones_like(expected) if mask is None else mask.expand_as(expected), expected)


@examples
@given(calls())
def test_counts_are_the_number_of_visible_keys(call: tuple[int, int, dict[str, Any]]) -> None:
    rows, keys, visibility = call
    rule = Visibility(rows, keys, **visibility)
    counts = visible_counts(rows, keys, device=CPU, **visibility)
    expected = torch.tensor([[len(rule.seen(b, i)) for i in range(rows)] for b in range(2)])
    assert counts.dtype == torch.int64
    assert torch.equal(counts.expand(2, rows), expected.reshape(2, rows))


@pytest.mark.parametrize("name", ["all", "start-only"])
def test_mask_is_none_when_every_row_sees_every_key(name: str) -> None:
    visibility = VISIBILITIES[name](Shape())
    assert visible_mask(7, 7, device=CPU, **rule_arguments(visibility)) is None


def test_causal_is_aligned_to_the_bottom_right_corner() -> None:
    mask = visible_mask(2, 5, causal=True, kv_lengths=None, q_start=None, device=CPU)
    assert mask is not None
    assert mask[0, 0].tolist() == [[True, True, True, True, False], [True, True, True, True, True]]


def test_causal_with_more_rows_than_keys_hides_everything_from_the_first_rows() -> None:
    counts = visible_counts(5, 2, causal=True, kv_lengths=None, q_start=None, device=CPU)
    assert counts.tolist() == [[0, 0, 0, 1, 2]]


def test_prefill_starts_every_row_of_the_batch_at_zero() -> None:
    lengths, starts = int32(3, 1), int32(0, 0)
    counts = visible_counts(3, 3, causal=True, kv_lengths=lengths, q_start=starts, device=CPU)
    assert counts.tolist() == [[1, 2, 3], [1, 1, 1]]


def test_decoding_starts_at_length_minus_rows() -> None:
    lengths = int32(6, 3)
    counts = visible_counts(2, 8, causal=True, kv_lengths=lengths, q_start=lengths - 2, device=CPU)
    assert counts.tolist() == [[5, 6], [2, 3]]


def test_lengths_are_clipped_to_the_keys() -> None:
    lengths = int32(9, -4)
    counts = visible_counts(1, 5, causal=False, kv_lengths=lengths, q_start=None, device=CPU)
    assert counts.tolist() == [[5], [0]]


@each_visibility
def test_row_positions_are_the_start_plus_the_row(visibility: Any) -> None:
    shape = Shape(rows=4, keys=6)
    arguments = rule_arguments(visibility(shape))
    rule = Visibility(4, 6, **arguments)
    positions = row_positions(4, 6, arguments["q_start"], CPU)
    expected = [[rule.position(b, i) for i in range(4)] for b in range(2)]
    assert positions.expand(2, 4).tolist() == expected
