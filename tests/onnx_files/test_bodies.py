"""The function bodies, run by ONNX Runtime, compute what the PyTorch operators compute."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

import attnexport
from tests.onnx_files.calls import CASES, Call, krause, lengths, tensors
from tests.onnx_files.standalone import Session, standalone_model


def assert_computes(session, module, args, tolerance=3e-6):
    given = session(module, args).astype(np.float64)
    with torch.no_grad():
        expected = module(*args).double().numpy()
    scale = max(np.abs(expected).max(), 1e-3)
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= tolerance * scale


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("kv_heads", [4, 2], ids=["mha", "gqa"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_computes_the_operator_at_every_size(case, kv_heads, causal):
    module = case.module(causal)
    session = Session(standalone_model(module, tensors(2, 4, kv_heads, 9, 13)))
    for batch, rows, keys in ((2, 9, 13), (3, 70, 131), (1, 1, 63), (2, 5, 5), (1, 33, 20)):
        assert_computes(session, module, tensors(batch, 4, kv_heads, rows, keys, seed=rows))


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_obeys_kv_lengths_and_q_start(case, causal):
    module = case.module(causal)
    example = (*tensors(2, 4, 2, 9, 13), lengths(13, 4), lengths(0, 5))
    session = Session(standalone_model(module, example))
    for args in (
        example,
        (*tensors(3, 4, 2, 70, 90, seed=1), lengths(90, 0, 7), lengths(-3, 20, 80)),
        (*tensors(1, 4, 2, 5, 5, seed=2), lengths(9), lengths(2)),
    ):
        assert_computes(session, module, args)


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_obeys_kv_start(case, causal):
    module = case.module(causal)
    example = (*tensors(2, 4, 2, 9, 13), lengths(13, 4), lengths(0, 5), lengths(3, 0))
    session = Session(standalone_model(module, example))
    for args in (
        example,
        (*tensors(3, 4, 2, 70, 90, seed=1), lengths(90, 0, 77), lengths(-3, 20, 80), lengths(31, 2, 69)),
        (*tensors(2, 4, 2, 5, 5, seed=2), lengths(9, 3), lengths(2, 0), lengths(-4, 3)),
    ):
        assert_computes(session, module, args)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_obeys_kv_lengths_alone(case):
    module = case.module(False)
    example = (*tensors(2, 4, 4, 9, 13), lengths(13, 4))
    session = Session(standalone_model(module, example))
    assert_computes(session, module, example)
    assert_computes(session, module, (*tensors(2, 4, 4, 3, 40, seed=1), lengths(0, 33)))


def bias(batch, heads, rows, keys, seed=0):
    """Numbers of which some hide their key."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, heads, rows, keys, generator=generator)
    return values.masked_fill(torch.rand(values.shape, generator=generator) < 0.2, -torch.inf)


BIASED = [case for case in CASES if case.operator.__name__ in ("krause", "affine", "topn", "ssa")]
BIASES = [(1, 1, 1), (2, 1, 1), (1, 4, 1), (1, 1, 0), (2, 4, 0)]
"""Batch, heads and rows; 0 for those of the queries."""


@pytest.mark.parametrize("bounds", ["none", "all"])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("sizes", BIASES, ids=str)
@pytest.mark.parametrize("case", BIASED, ids=lambda case: case.name)
def test_body_adds_the_bias(case, sizes, causal, bounds):
    module = case.module(causal)
    batch, heads, rows = sizes

    def given(tokens, keys, seed):
        some = (lengths(keys, keys - 3), lengths(0, 2), lengths(1, 3)) if bounds == "all" else (None, None, None)
        added = bias(batch, heads, rows or tokens, keys, seed)
        return *tensors(2, 4, 2, tokens, keys, seed=seed), *some, added

    session = Session(standalone_model(module, given(9, 13, 0)))
    for tokens, keys in ((9, 13), (40, 70), (20, 11)):
        assert_computes(session, module, given(tokens, keys, tokens))


@pytest.mark.parametrize("sizes", BIASES, ids=str)
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"causal": True}], ids=["all", "top_k", "causal"])
def test_krause_grid_body_adds_the_bias(sizes, options):
    grid = attnexport.Grid(3, 4, 1, "chebyshev", 2)
    module = Call(lambda q, k, v, **given: krause(q, k, v, grid=grid, **options, **given))
    batch, heads, rows = sizes
    added = bias(batch, heads, grid.tokens if rows == 0 else 1, grid.tokens)
    example = (*tensors(2, 4, 2, grid.tokens, grid.tokens), None, None, None, added)
    assert_computes(Session(standalone_model(module, example)), module, example)


def test_defaults_before_a_bias_leave_no_trace_in_the_body():
    module, added = CASES[0].module(False), bias(1, 1, 1, 13)
    model = standalone_model(module, (*tensors(2, 4, 2, 9, 13), None, None, None, added))
    (function,) = model.functions.values()
    read = {value.name for node in function for value in node.inputs if value is not None}
    assert "bias" in read
    assert not {"kv_lengths", "q_start", "kv_start"} & read
    assert [value.name for value in function.inputs][-4:] == ["kv_lengths", "q_start", "kv_start", "bias"]


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_krause_grid_body_obeys_kv_start(prefix, causal):
    grid = attnexport.Grid(3, 4, 1, "chebyshev", prefix)
    module = Call(lambda q, k, v, **lengths: krause(q, k, v, grid=grid, causal=causal, **lengths))
    tokens = grid.tokens
    example = (*tensors(2, 4, 2, tokens, tokens), lengths(tokens, 6), lengths(0, 1), lengths(1, 4))
    session = Session(standalone_model(module, example))
    assert_computes(session, module, example)
    assert_computes(session, module, (*tensors(1, 4, 2, tokens, tokens, seed=1), *map(lengths, (9, -1, 5))))


@pytest.mark.parametrize("metric", ["chebyshev", "manhattan"])
@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"causal": True}], ids=["all", "top_k", "causal"])
def test_krause_grid_body_computes_the_operator(metric, prefix, options):
    grid = attnexport.Grid(3, 4, 1, metric, prefix)
    module = Call(lambda q, k, v, **lengths: krause(q, k, v, grid=grid, **options, **lengths))
    example = (*tensors(2, 4, 2, grid.tokens, grid.tokens), lengths(grid.tokens, 6))
    session = Session(standalone_model(module, example))
    assert_computes(session, module, example)
    assert_computes(session, module, (*tensors(1, 4, 2, grid.tokens, grid.tokens, seed=1), lengths(9)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_of_a_half_model_computes_in_float32(case):
    module = case.module(True)
    example = tensors(2, 4, 2, 40, 50, dtype=torch.float16)
    session = Session(standalone_model(module, example))
    assert session(module, example).dtype == np.float16
    assert_computes(session, module, example, tolerance=2 * torch.finfo(torch.float16).eps)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_of_a_double_model_stays_double(case):
    module = case.module(True)
    example = tensors(2, 4, 2, 40, 50, dtype=torch.float64)
    session = Session(standalone_model(module, example), fused=False)
    assert_computes(session, module, example, tolerance=1e-12)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in ("krause_top_k", "ssa_top_k", "topn")], ids=lambda case: case.name
)
def test_top_k_ties_go_to_the_lower_index(case):
    q, k, v = tensors(1, 4, 4, 6, 8)
    k[:, :, 3:] = k[:, :, 3:4]
    module = case.module(False)
    session = Session(standalone_model(module, (q, k, v)))
    assert_computes(session, module, (q, k, v))


def test_rows_that_see_no_key_are_zero():
    for case in CASES:
        module, args = case.module(True), (*tensors(2, 4, 2, 9, 5), lengths(5, 0))
        given = Session(standalone_model(module, args))(module, args)
        assert np.isfinite(given).all(), case.name
        assert (given[0, :, :4] == 0).all(), case.name
        assert (given[1] == 0).all(), case.name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hla_1", {}),
        ("hla_2", {}),
        ("krause_window", {"window": 4}),
        ("krause_window_top_k", {"window": 4, "top_k": 2}),
        ("krause_window_prefix", {"window": 4, "prefix": 3}),
    ],
)
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_linear_variants_never_hold_rows_by_keys(name, options, causal):
    case = next(case for case in CASES if case.name == name)
    module = Call(lambda q, k, v, **rest: case.operator(q, k, v, **{**case.options, **options}, causal=causal, **rest))
    rows = 600
    args = tensors(1, 2, 2, rows, rows)
    model = standalone_model(module, args)
    ir.passes.common.InlinePass()(model)
    every_value = [value for node in model.graph for value in node.outputs]
    model.graph.outputs[:] = every_value
    sizes = {
        value.name: given.size for value, given in zip(every_value, Session(model).run_all(module, args), strict=True)
    }
    assert max(sizes.values()) <= 2 * rows * 128, sizes


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nan_beyond_the_length_stays_there(case, causal):
    module = case.module(causal)
    q, k, v = tensors(2, 4, 2, 9, 13)
    args = (q, k, v, lengths(13, 4))
    session = Session(standalone_model(module, args))
    k[1, :, 4:] = v[1, :, 4:] = float("nan")
    assert_computes(session, module, args)


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nan_before_the_start_stays_there(case, causal):
    module = case.module(causal)
    q, k, v = tensors(2, 4, 2, 9, 13)
    args = (q, k, v, lengths(13, 13), lengths(4, 4), lengths(0, 6))
    session = Session(standalone_model(module, args))
    k[1, :, :6] = v[1, :, :6] = float("nan")
    assert_computes(session, module, args)


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_rows_are_nan(case, causal):
    module = case.module(causal)
    q, k, v = tensors(2, 4, 2, 9, 13)
    session = Session(standalone_model(module, (q, k, v)))
    for tensor, head, token in ((q, 1, 6), (k, 1, 9)):
        kept = tensor[0, head, token, 0].item()
        tensor[0, head, token, 0] = float("nan")
        given, expected = session(module, (q, k, v)), module(q, k, v).numpy()
        np.testing.assert_array_equal(np.isnan(given), np.isnan(expected))
        assert 0 < np.isnan(given).sum() < given.size
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
        tensor[0, head, token, 0] = kept


def test_few_rows_in_a_wide_window_cost_little():
    case = next(case for case in CASES if case.name == "krause_window")
    module = Call(lambda q, k, v, **rest: case.operator(q, k, v, window=4096, causal=True, **rest))
    args = tensors(1, 2, 2, 1, 50)
    model = standalone_model(module, args)
    ir.passes.common.InlinePass()(model)
    model.graph.outputs[:] = [value for node in model.graph for value in node.outputs]
    assert max(given.size for given in Session(model).run_all(module, args)) <= 2 * 2 * 51 * 8


@pytest.mark.parametrize("start", [-70, -3, 0, 45, 50, 90])
@pytest.mark.parametrize("window", [3, 20, 200])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_window_of_rows_far_from_the_keys(start, window, causal):
    module = Call(lambda q, k, v, **rest: krause(q, k, v, window=window, causal=causal, **rest))
    args = (*tensors(2, 4, 2, 40, 50), lengths(50, 30), lengths(start, 0))
    assert_computes(Session(standalone_model(module, args)), module, args)
