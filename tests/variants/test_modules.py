"""The attention modules: parameters and their start, the formula by hand, padding, state and export."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from attnexport import (
    AffineScaledAttention,
    Grid,
    HadamardLinearAttention,
    KrauseAttention,
    SelectiveSynchronizationAttention,
    TopNAttention,
)
from attnexport.variants.hla.module import FEATURE_MAPS, FeatureMap
from tests.variants import formulas
from tests.variants.cases import MODULES, error, int32

EXACT = 1e-12
DIM, HEADS, TOKENS = 12, 4, 7

Factory = Callable[..., nn.Module]


def krause(**options: Any) -> nn.Module:
    return KrauseAttention(DIM, HEADS, **options)


def krause_two_branches(**options: Any) -> nn.Module:
    return KrauseAttention(DIM, HEADS, window=3, softmax_branch=True, sigma_per_head=True, **options)


def krause_grid(**options: Any) -> nn.Module:
    return KrauseAttention(DIM, HEADS, grid=Grid(2, 3, 1), top_k=3, **options)


def hla(**options: Any) -> nn.Module:
    return HadamardLinearAttention(DIM, HEADS, features=4, **options)


def ssa(**options: Any) -> nn.Module:
    return SelectiveSynchronizationAttention(DIM, HEADS, **options)


def affine(**options: Any) -> nn.Module:
    return AffineScaledAttention(DIM, HEADS, **options)


def top_n(**options: Any) -> nn.Module:
    return TopNAttention(DIM, HEADS, 3, **options)


def plain(kind: type[nn.Module]) -> Factory:
    """Of a module that needs a width and a number of heads alone."""

    def make(**options: Any) -> nn.Module:
        return kind(DIM, HEADS, **options)

    make.__name__ = kind.__name__
    return make


FACTORIES = [krause, krause_two_branches, krause_grid, hla, ssa, affine, top_n]
_MADE = {type(factory()) for factory in FACTORIES}
FACTORIES += [plain(kind) for kind in MODULES if kind not in _MADE]

each_module = pytest.mark.parametrize("factory", [pytest.param(factory, id=factory.__name__) for factory in FACTORIES])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def tokens_of(batch: int = 2, tokens: int = TOKENS) -> Tensor:
    return torch.randn(batch, tokens, DIM, dtype=torch.float64)


def project(x: Tensor, linear: nn.Linear, heads: int) -> Tensor:
    """x (B, N, d) through a linear layer to (B, heads, N, width), written out."""
    y = x @ linear.weight.T + linear.bias
    return y.reshape(*x.shape[:2], heads, y.shape[-1] // heads).permute(0, 2, 1, 3)


def output(module: Any, heads_out: Tensor) -> Tensor:
    joined = heads_out.permute(0, 2, 1, 3).reshape(heads_out.shape[0], heads_out.shape[2], -1)
    return joined @ module.out_proj.weight.T + module.out_proj.bias


def projections(module: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return (
        project(x, module.q_proj, module.heads),
        project(x, module.k_proj, module.kv_heads),
        project(x, module.v_proj, module.kv_heads),
    )


VISIBILITIES = [
    pytest.param({}, id="all"),
    pytest.param({"kv_lengths": int32(5, 2)}, id="lengths"),
    pytest.param({"kv_lengths": int32(5, 2), "q_start": int32(0, 0)}, id="lengths-start"),
    pytest.param({"kv_start": int32(2, 5)}, id="left-padded"),
]
each_visibility = pytest.mark.parametrize("visibility", VISIBILITIES)
each_causal = pytest.mark.parametrize("causal", [False, True], ids=["bidirectional", "causal"])
each_grouping = pytest.mark.parametrize("kv_heads", [None, 2, 1])


@each_visibility
@each_causal
@each_grouping
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": 3, "sigma_per_head": True},
        {"top_k": 2, "sigma": 0.7},
        {"grid": Grid(2, 3, 1, "manhattan")},
    ],
    ids=["plain", "window", "top_k", "grid"],
)
def test_krause_is_its_formula(
    options: dict[str, Any], kv_heads: int | None, causal: bool, visibility: dict[str, Any]
) -> None:
    module, x = krause(kv_heads=kv_heads, causal=causal, **options).double(), tokens_of()
    kept = {name: value for name, value in options.items() if "sigma" not in name}
    q, k, v = projections(module, x)
    heads_out = formulas.krause(q, k, v, module.log_sigma.exp(), causal=causal, **kept, **visibility)
    assert error(module(x, **visibility), output(module, heads_out)) <= EXACT


@each_visibility
@each_causal
@each_grouping
def test_krause_with_a_softmax_branch_is_the_mixture_of_both(
    kv_heads: int | None, causal: bool, visibility: dict[str, Any]
) -> None:
    module = krause(kv_heads=kv_heads, causal=causal, window=3, softmax_branch=True).double()
    nn.init.normal_(module.gate.weight)
    x = tokens_of()
    near = formulas.krause(*projections(module, x), module.log_sigma.exp(), window=3, causal=causal, **visibility)
    branch = module.softmax_branch
    ones = torch.ones(2, HEADS, TOKENS)
    far = formulas.affine(*projections(branch, x), ones, 0 * ones, causal=causal, **visibility)
    first, second = output(branch, far), output(module, near)
    gate = torch.softmax(torch.cat([first, second], -1) @ module.gate.weight.T + module.gate.bias, -1)
    expected = gate[..., 0, None] * first + gate[..., 1, None] * second
    assert error(module(x, **visibility), expected) <= EXACT


def features_by_hand(feature_map: FeatureMap, x: Tensor) -> Tensor:
    if feature_map.kind == "mlp":
        x = F.gelu(x @ feature_map.hidden)
    y = x @ feature_map.weight
    largest = y.max(-1, keepdim=True).values
    by_kind = {
        "softplus": torch.log(1 + torch.exp(y)),
        "mlp": torch.log(1 + torch.exp(y)),
        "elu1": torch.where(y > 0, y + 1, torch.exp(y)),
        "relu2": torch.where(y > 0, y, 0.0) ** 2,
        "exp": torch.exp(y - largest),
    }
    return by_kind[feature_map.kind] / math.sqrt(y.shape[-1])


@each_visibility
@each_causal
@pytest.mark.parametrize("kv_heads", [None, 2])
@pytest.mark.parametrize("tie", ["none", "query", "all"])
@pytest.mark.parametrize("feature_map", FEATURE_MAPS)
def test_hla_is_its_formula(
    feature_map: str, tie: str, kv_heads: int | None, causal: bool, visibility: dict[str, Any]
) -> None:
    module = hla(kv_heads=kv_heads, causal=causal, feature_map=feature_map, tie=tie, factors=2).double()
    x = tokens_of()
    q, k, v = projections(module, x)
    queries = [features_by_hand(module.query_maps[0 if tie != "none" else r], q) for r in range(2)]
    keys = [features_by_hand(module.key_maps[0 if tie == "all" else r], k) for r in range(2)]
    heads_out = formulas.hla(queries, keys, v, causal=causal, **visibility)
    assert error(module(x, **visibility), output(module, heads_out)) <= EXACT


@each_visibility
@each_causal
@each_grouping
@pytest.mark.parametrize("top_k", [None, 2])
def test_ssa_is_its_formula(top_k: int | None, kv_heads: int | None, causal: bool, visibility: dict[str, Any]) -> None:
    module, x = ssa(kv_heads=kv_heads, causal=causal, top_k=top_k).double(), tokens_of()
    keys = project(x, module.omega_proj, module.kv_heads)
    queries = keys if kv_heads is None else project(x, module.query_omega_proj, HEADS)
    coupling, alpha = (torch.log(1 + torch.exp(y)) for y in (module.coupling_hat, module.alpha_hat))
    theta = project(x, module.theta_proj, module.kv_heads)
    v = project(x, module.v_proj, module.kv_heads)
    heads_out = formulas.ssa(queries, keys, theta, v, coupling, alpha, top_k=top_k, causal=causal, **visibility)
    assert error(module(x, **visibility), output(module, heads_out)) <= 1e-10


@each_visibility
@each_causal
@each_grouping
@pytest.mark.parametrize("denominator", ["visible", "total"])
def test_affine_is_its_formula(
    denominator: str, kv_heads: int | None, causal: bool, visibility: dict[str, Any]
) -> None:
    module = affine(kv_heads=kv_heads, causal=causal, denominator=denominator).double().eval()
    nn.init.normal_(module.alpha_proj.weight, std=2.0)
    module.alpha_ma.copy_(torch.linspace(0.1, 0.9, HEADS))
    x = tokens_of()
    alpha = torch.clip(0.1 * (x @ module.alpha_proj.weight.T) + 0.5, 0.0, 1.0).permute(0, 2, 1)
    rule = formulas.Visibility(TOKENS, TOKENS, causal=causal, **visibility)
    counts = [[max(len(rule.seen(b, i)), 1) for i in range(TOKENS)] for b in range(2)]
    divisor = torch.tensor(counts)[:, None] if denominator == "visible" else TOKENS
    beta = (module.alpha_ma[:, None] - alpha) / divisor
    heads_out = formulas.affine(*projections(module, x), alpha, beta, causal=causal, **visibility)
    assert error(module(x, **visibility), output(module, heads_out)) <= EXACT


@each_visibility
@each_causal
@each_grouping
@pytest.mark.parametrize("renormalize", [True, False])
def test_top_n_is_its_formula(
    renormalize: bool, kv_heads: int | None, causal: bool, visibility: dict[str, Any]
) -> None:
    module = top_n(kv_heads=kv_heads, causal=causal, renormalize=renormalize, scale=0.9).double()
    x = tokens_of()
    options = {"n": 3, "scale": 0.9, "renormalize": renormalize, "causal": causal}
    heads_out = formulas.top_n(*projections(module, x), **options, **visibility)
    assert error(module(x, **visibility), output(module, heads_out)) <= EXACT


@each_module
def test_projections_have_a_bias_and_the_width_of_their_heads(factory: Factory) -> None:
    module = factory(kv_heads=2)
    linears = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    for name, layer in linears.items():
        if name == "alpha_proj":
            assert layer.bias is None
            continue
        assert layer.bias is not None
        narrow = name.split(".")[-1] in {"k_proj", "v_proj", "omega_proj", "theta_proj"}
        if name != "gate":
            assert layer.weight.shape == (DIM // 2 if narrow else DIM, DIM)


def test_sigma_starts_at_two_and_a_half() -> None:
    assert krause().log_sigma.shape == ()
    assert krause(sigma_per_head=True).log_sigma.shape == (HEADS,)
    assert torch.allclose(krause(sigma_per_head=True).log_sigma, torch.tensor(math.log(2.5)))
    assert krause(sigma=4.5).log_sigma.item() == pytest.approx(math.log(4.5))


def test_the_gate_starts_at_four_fifths_softmax() -> None:
    module = krause(softmax_branch=True)
    assert module.gate.weight.shape == (2, 2 * DIM)
    assert torch.allclose(module.gate.bias, torch.tensor([math.log(0.8 / 0.2), 0.0]))
    mix = torch.softmax(module.gate(torch.randn(100, 2 * DIM)), dim=-1)
    assert mix.mean(0).tolist() == pytest.approx([0.8, 0.2], abs=0.02)


def test_there_is_no_second_branch_unless_asked_for() -> None:
    assert krause().softmax_branch is None
    assert krause().gate is None
    assert not any("softmax" in name or "gate" in name for name in krause().state_dict())


@pytest.mark.parametrize(("tie", "queries", "keys"), [("none", 3, 3), ("query", 1, 3), ("all", 1, 1)])
def test_tying_shares_feature_maps(tie: str, queries: int, keys: int) -> None:
    module = hla(tie=tie, factors=3, kv_heads=2)
    assert (len(module.query_maps), len(module.key_maps)) == (queries, keys)
    assert module.query_maps[0].weight.shape == (HEADS, DIM // HEADS, 4)
    assert module.key_maps[0].weight.shape == (2, DIM // HEADS, 4)


@pytest.mark.parametrize("kind", FEATURE_MAPS)
def test_features_are_not_negative_and_scaled_by_their_number(kind: str) -> None:
    few = FeatureMap(HEADS, 3, 4, kind).double()
    x = 3.0 * torch.randn(2, HEADS, 50, 3, dtype=torch.float64)
    assert few(x).shape == (2, HEADS, 50, 4)
    assert (few(x) >= 0).all()
    assert error(few(x), features_by_hand(few, x)) <= EXACT
    assert few.scale == 0.5


def test_exponential_features_do_not_overflow() -> None:
    features = FeatureMap(1, 3, 16, "exp")(1e4 * torch.randn(1, 1, 9, 3))
    assert features.isfinite().all()
    assert torch.equal(features.amax(-1), torch.full((1, 1, 9), 0.25))


def test_ssa_starts_with_the_promised_coupling_and_decay() -> None:
    module = ssa()
    assert F.softplus(module.coupling_hat).item() == pytest.approx(8.0)
    assert F.softplus(module.alpha_hat).tolist() == pytest.approx([0.5] * HEADS)
    assert module.alpha_hat.shape == (HEADS,)
    assert F.softplus(ssa(coupling=0.3, alpha=2.0).coupling_hat).item() == pytest.approx(0.3)


@pytest.mark.parametrize(("dim", "heads"), [(64, 4), (96, 2), (256, 8)])
@pytest.mark.parametrize("grouped", [False, True])
def test_ssa_starts_with_most_pairs_of_tokens_locked(dim: int, heads: int, grouped: bool) -> None:
    module = SelectiveSynchronizationAttention(dim, heads, kv_heads=heads // 2 if grouped else None)
    x = torch.randn(1, 200, dim)
    keys = project(x, module.omega_proj, module.kv_heads)
    queries = project(x, module.query_omega_proj, heads) if grouped else keys
    if grouped:
        keys = keys.repeat_interleave(2, dim=1)
    distance = torch.cdist(queries, keys).square()
    apart = distance[..., ~torch.eye(200, dtype=torch.bool)]
    theta = project(x, module.theta_proj, module.kv_heads)
    order = torch.polar(torch.ones_like(theta), theta).mean(2).abs().mean()
    locked = apart.sqrt() <= 8.0 * order * torch.exp(-0.5 * apart)
    assert apart.mean().item() == pytest.approx(1.0, abs=0.15)
    assert locked.float().mean() > 0.95


def test_ssa_uses_one_frequency_for_queries_and_keys_unless_heads_are_grouped() -> None:
    assert ssa().query_omega_proj is None
    assert ssa(kv_heads=2).query_omega_proj.weight.shape == (DIM, DIM)


def test_affine_alpha_starts_at_one_half_for_every_token() -> None:
    module = affine()
    assert not module.alpha_proj.weight.any()
    assert module.alpha_proj.weight.shape == (HEADS, DIM)
    assert torch.equal(module.alpha_ma, torch.zeros(HEADS))


def test_affine_average_moves_in_training() -> None:
    module = affine().double()
    for step in range(1, 4):
        module(tokens_of())
        assert module.alpha_ma.tolist() == pytest.approx([0.5 * (1 - 0.9**step)] * HEADS)


def test_affine_average_is_that_of_each_head_over_batch_and_tokens() -> None:
    module, x = affine(rho=0.0).double(), tokens_of()
    nn.init.normal_(module.alpha_proj.weight)
    module(x)
    alpha = (0.1 * (x @ module.alpha_proj.weight.T) + 0.5).clip(0, 1)
    assert error(module.alpha_ma, alpha.mean((0, 1))) <= EXACT


def test_affine_average_is_updated_before_its_use() -> None:
    module, x = affine(rho=0.0).double(), tokens_of()
    trained = module(x)
    assert error(trained, module.eval()(x)) <= EXACT


def test_affine_average_is_frozen_in_eval() -> None:
    module = affine().double()
    module(tokens_of())
    before = module.alpha_ma.clone()
    module.eval()(tokens_of())
    assert torch.equal(module.alpha_ma, before)


def test_affine_average_is_saved_but_not_trained() -> None:
    module = affine()
    assert "alpha_ma" in module.state_dict()
    assert "alpha_ma" not in dict(module.named_parameters())
    module(torch.randn(2, TOKENS, DIM)).sum().backward()
    assert not module.alpha_ma.requires_grad


def test_affine_average_leaves_padding_out() -> None:
    module, x = affine(rho=0.0).double(), tokens_of()
    nn.init.normal_(module.alpha_proj.weight)
    module(x, kv_lengths=int32(5, 2))
    alpha = (0.1 * (x @ module.alpha_proj.weight.T) + 0.5).clip(0, 1)
    assert error(module.alpha_ma, torch.cat([alpha[0, :5], alpha[1, :2]]).mean(0)) <= EXACT


def test_affine_average_leaves_padding_on_the_left_out() -> None:
    module, x = affine(rho=0.0).double(), tokens_of()
    nn.init.normal_(module.alpha_proj.weight)
    module(x, kv_lengths=int32(6, 7), kv_start=int32(2, 4))
    alpha = (0.1 * (x @ module.alpha_proj.weight.T) + 0.5).clip(0, 1)
    assert error(module.alpha_ma, torch.cat([alpha[0, 2:6], alpha[1, 4:]]).mean(0)) <= EXACT


@each_visibility
@each_causal
def test_affine_rows_sum_to_the_average_over_visible_keys(causal: bool, visibility: dict[str, Any]) -> None:
    module = affine(causal=causal).double().eval()
    nn.init.normal_(module.alpha_proj.weight)
    nn.init.zeros_(module.v_proj.weight)
    nn.init.ones_(module.v_proj.bias)
    nn.init.eye_(module.out_proj.weight)
    nn.init.zeros_(module.out_proj.bias)
    module.alpha_ma.copy_(torch.linspace(0.1, 0.9, HEADS))
    rule = formulas.Visibility(TOKENS, TOKENS, causal=causal, **visibility)
    sees = torch.tensor([[[bool(rule.seen(b, i))] for i in range(TOKENS)] for b in range(2)])
    expected = module.alpha_ma.repeat_interleave(DIM // HEADS) * sees
    assert error(module(tokens_of(), **visibility), expected) <= EXACT


@each_module
@each_causal
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_padding_does_not_change_valid_rows(factory: Factory, causal: bool, training: bool) -> None:
    module, x = factory(causal=causal).double().train(training), tokens_of()
    if isinstance(module, AffineScaledAttention):
        nn.init.normal_(module.alpha_proj.weight)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    visibility = {"kv_lengths": int32(5, 2), "q_start": int32(0, 0)}
    padded = x.clone()
    padded[0, 5:], padded[1, 2:] = 30.0, -5.0
    out = module(x, **visibility)
    module.load_state_dict(state)
    again = module(padded, **visibility)
    assert error(out[0, :5], again[0, :5]) <= EXACT
    assert error(out[1, :2], again[1, :2]) <= EXACT


@pytest.mark.parametrize("factory", [factory for factory in FACTORIES if factory is not krause_grid])
def test_padded_rows_equal_the_short_sequence_alone(factory: Factory) -> None:
    module, x = factory().double().eval(), tokens_of(batch=1)
    assert error(module(x, kv_lengths=int32(5))[:, :5], module(x[:, :5])) <= EXACT


@each_causal
@pytest.mark.parametrize("factory", [factory for factory in FACTORIES if factory is not krause_grid])
def test_rows_padded_on_the_left_equal_the_short_sequence_alone(factory: Factory, causal: bool) -> None:
    module, x = factory(causal=causal).double().eval(), tokens_of(batch=1)
    assert error(module(x, kv_start=int32(2))[:, 2:], module(x[:, 2:])) <= EXACT


@each_module
def test_later_tokens_do_not_change_earlier_rows_when_causal(factory: Factory) -> None:
    module, x = factory(causal=True).double().eval(), tokens_of()
    changed = x.clone()
    changed[:, 4:] = 7.0
    assert error(module(x)[:, :4], module(changed)[:, :4]) <= EXACT


@each_module
@pytest.mark.parametrize("kv_heads", [None, 2])
def test_state_goes_to_a_file_and_back(factory: Factory, kv_heads: int | None) -> None:
    module, x = factory(kv_heads=kv_heads), tokens_of().float()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    module(x)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = factory(kv_heads=kv_heads)
    other.load_state_dict(torch.load(file))
    assert torch.equal(module.eval()(x), other.eval()(x))


@each_module
def test_every_parameter_gets_a_finite_gradient(factory: Factory) -> None:
    module = factory(kv_heads=2)
    module(tokens_of().float()).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@each_module
def test_empty_sequences_give_the_output_bias_and_finite_gradients(factory: Factory) -> None:
    module, x = factory(), tokens_of().float().requires_grad_()
    out = module(x, kv_lengths=int32(0, 4))
    out.square().sum().backward()
    bias = module.out_proj.bias.expand(TOKENS, -1)
    if factory is krause_two_branches:
        both = torch.cat([module.softmax_branch.out_proj.bias, module.out_proj.bias])  # type: ignore[list-item]
        mix = torch.softmax(module.gate(both), dim=-1)
        bias = (mix[0] * module.softmax_branch.out_proj.bias + mix[1] * module.out_proj.bias).expand(TOKENS, -1)
    assert error(out[0], bias) <= 1e-6
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


@each_module
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_modules_give_their_dtype(factory: Factory, dtype: torch.dtype) -> None:
    out = factory(causal=True).to(dtype)(tokens_of().to(dtype))
    assert out.dtype == dtype
    assert out.isfinite().all()


@each_module
@each_causal
def test_export_keeps_one_node_and_the_numbers_at_other_sizes(factory: Factory, causal: bool) -> None:
    module = factory(causal=causal).double().eval()
    axes = {0: Dim("batch", min=1, max=64)}
    if factory is not krause_grid:
        axes[1] = Dim("tokens", min=1, max=512)
    batch = {0: axes[0]}
    program = torch.export.export(
        module,
        (tokens_of(),),
        {"kv_lengths": int32(5, 2), "q_start": int32(0, 0)},
        dynamic_shapes={"x": axes, "kv_lengths": batch, "q_start": batch},
        strict=False,
    )
    targets = [str(node.target) for node in program.graph.nodes]
    assert sum(target.startswith("attnexport.") for target in targets) == 1
    x = tokens_of(3, TOKENS if factory is krause_grid else 20)
    visibility = {"kv_lengths": int32(6, 3, 0), "q_start": int32(0, 0, 0)}
    assert error(program.module()(x, **visibility), module(x, **visibility)) <= EXACT
