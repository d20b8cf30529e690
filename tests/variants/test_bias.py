"""A bias on the scores: relative positions, masks of any shape, gradients, and no copy of what is broadcast."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim

import attnexport
from attnexport import hadamard_linear_attention, top_n_attention
from tests.variants.cases import (
    BIASED,
    VISIBILITIES,
    Case,
    Inputs,
    Shape,
    draw_hla,
    each,
    each_biased,
    error,
    float64,
    largest_allocation,
    map_tensors,
    tensors_of,
    with_gradients,
)
from tests.variants.test_modules import FACTORIES, TOKENS, Factory, tokens_of
from tests.variants.test_tracing import QUICK_CHECKS, SMALL, dynamic_axes

EXACT = 1e-12
ADDED = tuple(case for case in BIASED if not case.name.startswith("ssa"))
"""The operators that add it to their scores; selective synchronization takes it as a mask."""

FIRST_OF_EACH = tuple({case.operator: case for case in reversed(BIASED)}.values())

each_broadcast = pytest.mark.parametrize(
    "axes",
    [
        pytest.param((1, 1, 1), id="per-key"),
        pytest.param((2, 1, 1), id="per-sample"),
        pytest.param((1, 4, 1), id="per-head"),
        pytest.param((1, 1, None), id="per-row"),
        pytest.param((2, 4, None), id="all"),
    ],
)


def bias_of(shape: Shape, axes: tuple[int, int, int | None] = (2, 4, None), seed: int = 3) -> Tensor:
    """Numbers of which some hide their key, by minus infinity or as much as half precision holds."""
    batch, heads, rows = axes
    sizes = (batch, heads, shape.rows if rows is None else rows, shape.keys)
    generator = torch.Generator().manual_seed(seed)
    bias = torch.randn(sizes, generator=generator, dtype=torch.float64)
    hidden = torch.rand(sizes, generator=generator)
    return bias.masked_fill(hidden < 0.15, -torch.inf).masked_fill(hidden > 0.85, -65504.0)


@each_biased
@each_broadcast
@pytest.mark.parametrize("rule", ["all", "causal", "sliding-cache"])
def test_equals_the_formula(case: Case, axes: tuple[int, int, int | None], rule: str) -> None:
    shape = case.fit(Shape(rows=21, keys=17))
    inputs, visibility = case.inputs(shape), VISIBILITIES[rule](shape)
    bias = bias_of(shape, axes)
    expected = case.expected(inputs, bias=bias, **visibility)
    assert error(case(inputs, bias=bias, **visibility), expected) <= EXACT * max(1.0, float(expected.abs().max()))


@each_biased
@pytest.mark.parametrize("rule", ["all", "decode", "padded-on-both-sides"])
def test_dense_weights_times_v_are_the_output(case: Case, rule: str) -> None:
    shape = case.fit(Shape(rows=21, keys=17))
    inputs, visibility = case.inputs(shape), {**VISIBILITIES[rule](shape), "bias": bias_of(shape)}
    weights = case.weights(inputs, **visibility)
    values = inputs["v"].repeat_interleave(shape.heads // shape.kv_heads, dim=1)
    assert error(weights @ values, case(inputs, **visibility)) <= EXACT
    assert not weights[visibility["bias"] <= -30000].any()


@each_biased
def test_rows_whose_keys_are_all_hidden_are_zero_with_finite_gradients(case: Case) -> None:
    shape = case.fit(Shape(rows=21, keys=17))
    bias = bias_of(shape)
    bias[:, :, 3], bias[1, 2] = -torch.inf, torch.finfo(torch.float16).min
    inputs = with_gradients(case.inputs(shape))
    bias.requires_grad_()
    out = case(inputs, bias=bias)
    assert not out[:, :, 3].any()
    assert not out[1, 2].any()
    out.square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors_of(inputs))
    if bias.grad is not None:
        assert bias.grad.isfinite().all()
        assert not bias.grad[:, :, 3].any()


@each_biased
def test_the_same_bias_for_all_keys_of_a_row_changes_nothing(case: Case) -> None:
    shape = case.fit(Shape(rows=21, keys=17))
    inputs = case.inputs(shape)
    level = torch.linspace(-20.0, 20.0, shape.rows, dtype=torch.float64)[:, None].expand(1, 1, -1, shape.keys)
    assert error(case(inputs, bias=level), case(inputs)) <= 1e-10


@each_biased
@pytest.mark.parametrize("causal", [False, True])
def test_a_mask_of_documents_is_each_document_alone(case: Case, causal: bool) -> None:
    if case.tokens is not None or "prefix" in case.options:
        pytest.skip("a grid fixes the tokens, a prefix is the sequence's")
    inputs = case.inputs(Shape(rows=40, keys=40))
    document = torch.arange(40) >= 23
    apart = torch.zeros(1, 1, 40, 40, dtype=torch.float64).masked_fill(document[:, None] != document, -torch.inf)
    packed = case(inputs, causal=causal, bias=apart)
    for part in (slice(0, 23), slice(23, 40)):
        alone = map_tensors(lambda x, part=part: x[:, :, part] if x.dim() > 2 else x, inputs)
        assert error(packed[:, :, part], case(alone, causal=causal)) <= EXACT


@each(*ADDED)
def test_nan_makes_the_row_nan(case: Case) -> None:
    shape = case.fit(Shape(rows=17, keys=17))
    bias = torch.zeros(2, 4, shape.rows, shape.keys, dtype=torch.float64)
    bias[0, 1, 5, 5] = torch.nan
    wrong = case(case.inputs(shape), bias=bias).isnan().any(-1)
    assert wrong.nonzero().tolist() == [[0, 1, 5]]


def small_call(case: Case, axes: tuple[int, int, int | None]) -> tuple[Inputs, Tensor]:
    shape = case.fit(Shape(heads=4, kv_heads=2, rows=5, keys=6, width=2, value_width=2))
    return with_gradients(case.inputs(shape)), bias_of(shape, axes).requires_grad_()


@each_biased
@each_broadcast
def test_gradients_are_those_of_finite_differences(case: Case, axes: tuple[int, int, int | None]) -> None:
    if case.tokens is not None and case.tokens > 12:
        pytest.skip("many tokens for finite differences")
    inputs, bias = small_call(case, axes)
    shown = (bias > -30000).detach()
    free = bias.detach().masked_fill(~shown, 0.0).requires_grad_()

    def call(values: Tensor, *tensors: Tensor) -> Tensor:
        given = iter(tensors)
        named = {name: next(given) for name in inputs}
        return case(named, bias=values.masked_fill(~shown, -torch.inf), causal=True)

    assert torch.autograd.gradcheck(call, (free, *tensors_of(inputs)), fast_mode=True)


@each(*FIRST_OF_EACH)
@each_broadcast
def test_opcheck_finds_nothing(case: Case, axes: tuple[int, int, int | None]) -> None:
    inputs = with_gradients(case.inputs(SMALL, torch.float32))
    bias = bias_of(SMALL, axes).float().requires_grad_()
    arguments = case.raw_arguments(inputs, causal=True, bias=bias)
    torch.library.opcheck(case.torch_op, arguments, test_utils=QUICK_CHECKS)


class Biased(torch.nn.Module):
    """A call whose bias is made of one number a key, as a padding mask is."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def forward(self, inputs: Inputs, kv_lengths: Tensor, per_key: Tensor) -> Tensor:
        return self.case(inputs, causal=True, kv_lengths=kv_lengths, bias=per_key[:, None, None])


@each(*FIRST_OF_EACH)
def test_export_keeps_one_node_and_the_numbers_at_other_sizes(case: Case) -> None:
    model = Biased(case)

    def given(shape: Shape) -> tuple[Any, ...]:
        shape = case.fit(shape)
        bias = bias_of(shape, (shape.batch, 1, 1))[:, 0, 0]
        return case.inputs(shape), VISIBILITIES["lengths"](shape)["kv_lengths"], bias

    example = given(Shape(rows=6, keys=8))
    axes = dynamic_axes(case, example[0])
    keys = {0: axes["kv_lengths"][0]} | ({} if case.tokens else {1: Dim("keys", min=1, max=512)})
    program = torch.export.export(model, example, dynamic_shapes=axes | {"per_key": keys}, strict=False)
    other = given(Shape(batch=3, rows=20, keys=33))
    assert error(program.module()(*other), model(*other)) <= EXACT


@each(*FIRST_OF_EACH)
@pytest.mark.parametrize("axes", [(2, 4, None), (1, 1, None), (1, 4, 1)], ids=str)
@pytest.mark.parametrize("mapped", [0, None], ids=["mapped", "shared"])
def test_a_mapped_call_is_the_loop(case: Case, axes: tuple[int, int, int | None], mapped: int | None) -> None:
    shape = case.fit(Shape(rows=9, keys=9))
    slices = [case.inputs(shape, seed=seed) for seed in range(3)]
    biases = [bias_of(shape, axes, seed=seed if mapped == 0 else 0) for seed in range(3)]
    stacked = {name: torch.stack([each[name] for each in slices]) for name in slices[0]}
    bias = torch.stack(biases) if mapped == 0 else biases[0]
    out = torch.vmap(lambda given, added: case(given, bias=added), in_dims=(0, mapped))(stacked, bias)
    loop = [case(given, bias=added) for given, added in zip(slices, biases, strict=True)]
    assert error(out, torch.stack(loop)) <= EXACT


@each(*FIRST_OF_EACH)
@pytest.mark.parametrize("axes", [(1, 1, 1), (1, 4, None)], ids=["per-key", "per-row"])
def test_a_broadcast_bias_is_never_expanded(case: Case, axes: tuple[int, int, int | None]) -> None:
    shape = case.fit(Shape(batch=2, rows=1024, keys=1024, width=4, value_width=4))
    inputs, bias = case.inputs(shape, torch.float32), bias_of(shape, axes).float()
    with torch.no_grad():
        largest = largest_allocation(lambda: case(inputs, bias=bias))
    own = bias.numel() * bias.element_size()
    assert largest <= max(own, 2 * shape.batch * shape.heads * shape.rows * shape.keys)


@each(*FIRST_OF_EACH)
@pytest.mark.parametrize(
    "sizes", [(2, 4, 7), (3, 1, 1, 9), (1, 2, 1, 9), (1, 1, 6, 9), (1, 1, 1, 1)], ids=["axes", "B", "H", "N", "M"]
)
def test_a_bias_that_does_not_fit_is_refused(case: Case, sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^bias: expected floating \(1 or B=2, 1 or H=4, 1 or N=\d+, M=\d+\), given"):
        case(case.inputs(Shape(rows=7, keys=9)), bias=torch.zeros(sizes))


def test_a_mask_of_truths_is_no_bias() -> None:
    q, k, v = (torch.ones(1, 1, 3, 2) for _ in range(3))
    with pytest.raises(ValueError, match=r"^bias: expected floating .* given \(1, 1, 3, 3\) bool$"):
        top_n_attention(q, k, v, 2, bias=torch.ones(1, 1, 3, 3, dtype=torch.bool))


def test_hadamard_linear_attention_says_why_it_takes_none() -> None:
    inputs = draw_hla(2, 3)(Shape(), torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"^bias: expected None, given a tensor: weights are products of features"):
        hadamard_linear_attention(**inputs, bias=torch.zeros(1, 1, 1, 7))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("factory", [each for each in FACTORIES if each.__name__ not in ("hla", "krause_grid")])
def test_a_module_sees_documents_apart(factory: Factory, causal: bool) -> None:
    torch.manual_seed(0)
    module, x = factory(causal=causal).double().eval(), tokens_of()
    document = torch.arange(TOKENS) >= 3
    apart = torch.where(document[:, None] == document, 0.0, -torch.inf).double()[None, None]
    packed = module(x, bias=apart)
    assert error(packed[:, :3], module(x[:, :3])) <= EXACT
    assert error(packed[:, 3:], module(x[:, 3:])) <= EXACT


def test_the_module_of_hadamard_linear_attention_says_why_it_takes_none() -> None:
    module = attnexport.HadamardLinearAttention(8, 2)
    with pytest.raises(ValueError, match=r"^bias: expected None, given a tensor"):
        module(torch.randn(1, 3, 8), bias=torch.zeros(1, 1, 1, 3))


def test_slopes_on_keys_are_alibi() -> None:
    """What ALiBi adds, -slope (i - j), differs from slope j by a number of the row, which softmax does not see."""
    shape, slopes = Shape(rows=12, keys=12), 2.0 ** -torch.arange(1.0, 5.0, dtype=torch.float64)
    case = next(case for case in BIASED if case.name.startswith("affine"))
    inputs, positions = case.inputs(shape), torch.arange(12, dtype=torch.float64)
    distance = positions[:, None] - positions
    whole = case(inputs, causal=True, bias=-slopes[None, :, None, None] * distance)
    per_key = case(inputs, causal=True, bias=slopes[None, :, None, None] * positions)
    assert error(whole, per_key) <= EXACT


def test_a_bias_of_top_n_decides_what_is_kept() -> None:
    q, k = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 4, 1)
    v = torch.eye(4)[None, None]
    out = top_n_attention(q, k, v, 2, bias=torch.tensor([0.0, 3.0, 1.0, -torch.inf])[None, None, None])
    total = math.e**3 + math.e
    assert error(out[0, 0, 0], float64([0.0, math.e**3 / total, math.e / total, 0.0])) <= 1e-6


def test_selective_synchronization_takes_a_bias_as_a_mask_alone() -> None:
    case = next(case for case in BIASED if case.name == "ssa")
    inputs, bias = case.inputs(), bias_of(Shape())
    mask = torch.zeros_like(bias).masked_fill(bias <= -30000, -torch.inf)
    assert torch.equal(case(inputs, bias=bias), case(inputs, bias=mask))


def test_phases_that_are_nan_and_hidden_from_all_rows_do_not_matter() -> None:
    case = next(case for case in BIASED if case.name == "ssa")
    inputs, bias = case.inputs(), torch.zeros(1, 1, 1, 7, dtype=torch.float64)
    bias[..., 2] = -torch.inf
    clean = case(inputs, bias=bias)
    inputs["theta"][:, :, 2] = torch.nan
    assert torch.equal(case(inputs, bias=bias), clean)
