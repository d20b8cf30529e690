"""find_hazards: every figure against slow dense formulas, and what is said of a model's layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnexport
from attnexport.accuracy.diagnosis.hazards import find_hazards
from attnexport.accuracy.inputs.files import Batch
from attnexport.models.model import Model
from attnexport.variants.hazards import Figure
from attnexport.variants.registry import all_variants
from tests.variants.cases import CASES, ONE_PER_VARIANT, SHAPES, VISIBILITIES, Case, Shape, int32, largest_allocation

WIDTH = 8


def figures_of(case: Case, inputs, precision: torch.dtype = torch.float32, **visibility) -> dict[str, Figure]:
    (variant,) = (variant for variant in all_variants() if variant.torch_op is case.torch_op)
    bound = variant.bind(case.raw_arguments(inputs, **visibility), {})
    with torch.no_grad():
        return {figure.name: figure for figure in variant.hazards(**bound, precision=precision)}


def named(name: str) -> Case:
    (case,) = (case for case in CASES if case.name == name)
    return case


def one(figures: dict[str, Figure], start: str) -> Tensor:
    (values,) = (figure.values for name, figure in figures.items() if name.startswith(start))
    return values


@pytest.mark.parametrize("visibility", ["causal", "lengths", "decode", "before-the-keys", "one-empty", "sliding-cache"])
@pytest.mark.parametrize(
    "case", ["krause-window4", "krause-window4-prefix3", "krause-chebyshev1", "hla-two", "affine", "topn-3"]
)
def test_rows_without_keys_are_those_without_weights(case, visibility):
    case = named(case)
    shape = case.fit(Shape(rows=9, keys=13))
    options = VISIBILITIES[visibility](shape)
    if case.positional and "grid" in case.options:
        options.pop("q_start", None)
    inputs = case.inputs(shape)
    empty = (case.weights(inputs, **options) == 0).all(-1)[:, 0]
    assert one(figures_of(case, inputs, **options), "share of rows that see no key") == empty.double().mean()


@pytest.mark.parametrize("case", ["krause-window4", "krause-chebyshev1", "affine", "topn-3", "ssa"])
def test_what_a_bias_hides_is_left_out(case):
    case = named(case)
    inputs, tokens = case.inputs(case.fit(Shape(rows=9, keys=9))), case.fit(Shape(rows=9, keys=9)).keys
    bias = torch.zeros(1, 1, tokens, tokens, dtype=torch.float64)
    bias[:, :, 2], bias[..., 4] = -torch.inf, -65504.0
    loud = inputs | {name: inputs[name].clone() for name in case.per_key}
    for name in case.per_key:
        loud[name][:, :, 4] *= 1000.0
    figures = figures_of(case, loud, bias=bias)
    assert one(figures, "share of rows that see no key") == 1 / tokens
    assert torch.allclose(one(figures, "largest |score|"), one(figures_of(case, inputs, bias=bias), "largest |score|"))


@pytest.mark.parametrize("shape", SHAPES)
def test_largest_score_of_dot_products(shape):
    case = named("topn-3-raw")
    inputs = case.inputs(SHAPES[shape])
    keys = inputs["k"].repeat_interleave(SHAPES[shape].heads // SHAPES[shape].kv_heads, 1)
    scores = 1.3 * inputs["q"] @ keys.mT
    assert torch.allclose(one(figures_of(case, inputs), "largest |score|"), scores.abs().amax((0, 2, 3)))


def test_largest_score_leaves_out_what_no_row_sees():
    case = named("affine")
    inputs = case.inputs(Shape(rows=5, keys=5))
    inputs["k"][:, :, 3:] = torch.nan
    scores = inputs["q"] @ inputs["k"][:, :, :3].repeat_interleave(2, 1).mT * 5**-0.5
    found = one(figures_of(case, inputs, kv_lengths=int32(3, 3)), "largest |score|")
    assert torch.allclose(found, scores.abs().amax((0, 2, 3)))


@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize("case", ["krause", "krause-window4", "krause-chebyshev1"])
def test_largest_score_of_krause_is_before_or_after_the_division(case, sigma):
    case = named(case)
    shape = case.fit(Shape(rows=11, keys=11))
    inputs = case.inputs(shape) | {"sigma": torch.tensor(sigma, dtype=torch.float64)}
    near = case.weights(inputs) > 0
    keys = inputs["k"].repeat_interleave(2, 1)
    dots = inputs["q"] @ keys.mT - 0.5 * keys.square().sum(-1)[:, :, None]
    largest = (dots.abs() * max(1.0, sigma**-2) * near).amax((0, 2, 3))
    assert torch.allclose(one(figures_of(case, inputs), "largest |score|"), largest)


@pytest.mark.parametrize("visibility", ["all", "causal", "lengths", "decode"])
def test_ties_are_rows_whose_kept_keys_depend_on_rounding(visibility):
    case, shape = named("topn-3"), Shape(batch=1, heads=1, kv_heads=1, rows=6, keys=6, width=6)
    inputs = case.inputs(shape)
    inputs["q"] = torch.ones(1, 1, 6, 1, dtype=torch.float64).expand(-1, -1, -1, 6) * torch.eye(6, dtype=torch.float64)
    inputs["k"] = torch.tensor([[4.0, 4.0, 4.0, 4.0, 1.0, 0.0]] * 6, dtype=torch.float64).mT[None, None]
    options = VISIBILITIES[visibility](shape)
    seen = {"all": [6] * 6, "causal": [1, 2, 3, 4, 5, 6], "lengths": [5] * 6, "decode": [0, 1, 2, 3, 4, 5]}[visibility]
    tied = sum(count > 3 for count in seen) / 6
    assert one(figures_of(case, inputs, **options), "share of rows with a tie") == tied


@pytest.mark.parametrize(("precision", "share"), [(torch.float32, 0.0), (torch.bfloat16, 1.0)])
def test_ties_are_told_at_the_precision(precision, share):
    case, shape = named("topn-1"), Shape(batch=1, heads=1, kv_heads=1, rows=4, keys=3, width=1)
    inputs = case.inputs(shape)
    inputs["q"] = torch.ones_like(inputs["q"])
    inputs["k"] = torch.tensor([1.0, 1.003, 0.2], dtype=torch.float64).reshape(1, 1, 3, 1)
    assert one(figures_of(case, inputs, precision), "share of rows with a tie") == share


def test_tokens_far_apart_lock_to_themselves():
    case = named("ssa")
    inputs = case.inputs(Shape(heads=2, kv_heads=2, rows=6, keys=6))
    inputs["omega_k"] = inputs["omega_q"] = inputs["omega_q"] * torch.tensor([1e-3, 1e3]).reshape(1, 2, 1, 1)
    assert one(figures_of(case, inputs), "share of rows locked").tolist() == [0.0, 1.0]
    assert one(figures_of(case, inputs, causal=True), "share of rows locked")[1] == 5 / 6


def test_denominators_near_eps():
    case = named("hla-two")
    shape = Shape(batch=2, heads=2, kv_heads=2, rows=5, keys=5)
    inputs = case.inputs(shape)
    inputs["query_factors"][0][0, 1, :2] = 1e-9
    sums = (inputs["query_factors"][0] @ inputs["key_factors"][0].mT) * (
        inputs["query_factors"][1] @ inputs["key_factors"][1].mT
    )
    figures = figures_of(case, inputs)
    assert one(figures, "share of rows whose denominator").tolist() == [0.0, 0.2]
    assert torch.allclose(one(figures, "largest sum"), sums.sum(-1).amax((0, 2)))
    assert one(figures_of(case, inputs, kv_lengths=int32(0, 5)), "share of rows whose denominator").tolist() == [
        0.0,
        0.0,
    ]


def test_saturated_alpha():
    case = named("affine")
    inputs = case.inputs(Shape(batch=2, heads=2, kv_heads=2, rows=5))
    inputs["alpha"] = torch.full((2, 2, 5), 0.5)
    inputs["alpha"][0, 1, :2], inputs["alpha"][1, 1, 4] = 0.0, 1.0
    assert one(figures_of(case, inputs), "share of rows with alpha").tolist() == [0.0, 0.3]


@pytest.mark.parametrize("case", ONE_PER_VARIANT, ids=lambda case: case.name)
def test_memory_does_not_grow_with_rows_times_keys(case):
    inputs = case.inputs(Shape(batch=1, heads=1, kv_heads=1, rows=2048, keys=2048), dtype=torch.float32)
    assert largest_allocation(lambda: figures_of(case, inputs, causal=True)) < 12 * 2**20


@pytest.mark.parametrize("case", ONE_PER_VARIANT, ids=lambda case: case.name)
def test_overflow_before_the_operator_is_an_infinite_score(case):
    inputs = case.inputs(Shape(rows=4, keys=4), dtype=torch.float16)
    first = next(iter(inputs.values()))
    (first[0] if isinstance(first, list) else first)[0, 1, 2] = torch.inf
    values = one(figures_of(case, inputs), "largest").isinf().tolist()
    assert values == [False, True, False, False]


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads, is_causal=True).transpose(1, 2).flatten(2)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            [attnexport.TopNAttention(WIDTH, 2, 3), Softmax(), attnexport.TopNAttention(WIDTH, 2, 3)]
        )
        with torch.no_grad():
            self.blocks[2].q_proj.weight[WIDTH // 2 :] *= 1e6

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


@pytest.fixture(scope="module")
def program():
    return torch.export.export(Net().eval(), (torch.randn(2, 5, WIDTH),), strict=False)


def batch(seed: int, factor: float = 1.0) -> Batch:
    return Batch(f"seed {seed}", (factor * torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(seed)),))


def test_layer_and_head_are_named(program):
    reached = [hazard for hazard in find_hazards(Model(program), [batch(0)]) if hazard.reached]
    assert [(hazard.layer, hazard.head, hazard.name) for hazard in reached] == [("blocks.2", 1, "largest |score|")]
    assert str(reached[0]).startswith("blocks.2, head 1: largest |score| ")
    assert str(reached[0]).endswith(
        ", limit 3.275e+04: float16 ends at 65504: hold scores in float32 or bfloat16, or scale q and k down"
    )


def test_every_figure_of_every_layer_is_reported_once(program):
    found = find_hazards(Model(program), [batch(0), batch(1)])
    own = [("largest |score|", 0), ("largest |score|", 1), ("share of rows that see no key", None)]
    own += [("share of rows with a tie at the last kept score", head) for head in range(2)]
    wanted = {"blocks.0": own, "blocks.1": own[:2], "blocks.2": own}
    assert [(hazard.layer, hazard.name, hazard.head) for hazard in found] == [
        (layer, *figure) for layer, figures in wanted.items() for figure in figures
    ]


def test_batches_are_taken_together(program):
    def values(*batches: Batch) -> dict[tuple[str, str, int | None], float]:
        return {
            (hazard.layer, hazard.name, hazard.head): hazard.value for hazard in find_hazards(Model(program), batches)
        }

    same = Batch("equal tokens", (torch.ones(2, 5, WIDTH),))
    first, second, both = values(batch(0, 3.0)), values(same), values(batch(0, 3.0), same)
    for key, value in both.items():
        merged = max if key[1].startswith("largest") else lambda one, other: (one + other) / 2
        assert value == pytest.approx(merged(first[key], second[key]))
    assert second["blocks.0", "share of rows with a tie at the last kept score", 0] == 1.0


def test_scores_of_softmax_attention(program):
    (x,) = batch(0).tensors
    after = x + Net().blocks[0](x)
    heads = after.unflatten(-1, (2, -1)).transpose(1, 2).double()
    scores = (heads @ heads.mT / 2).tril().abs().amax((0, 2, 3))
    found = [hazard.value for hazard in find_hazards(Model(program), [batch(0)]) if hazard.layer == "blocks.1"]
    assert found == pytest.approx(scores.tolist(), rel=1e-4)
