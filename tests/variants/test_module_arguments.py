"""Attention modules show what builds them again, and refuse what does not fit when they are built."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import attnexport
from attnexport import (
    AffineScaledAttention,
    Grid,
    HadamardLinearAttention,
    KrauseAttention,
    SelectiveSynchronizationAttention,
    TopNAttention,
)
from tests.variants.cases import MODULES

DIM, HEADS, TOKENS = 12, 4, 7

# Every option of a module, each at least once away from its default.
OPTIONS: dict[type[nn.Module], tuple[dict[str, Any], ...]] = {
    KrauseAttention: (
        {"window": 3, "top_k": 2, "sigma_per_head": True, "softmax_branch": True},
        {"grid": Grid(2, 3, 1, "manhattan"), "sigma": 1.5},
    ),
    HadamardLinearAttention: (
        {"factors": 3, "features": 5, "feature_map": "mlp", "tie": "query", "eps": 1e-4},
        {"feature_map": "relu2", "tie": "all"},
    ),
    SelectiveSynchronizationAttention: ({"top_k": 3, "coupling": 4.0, "alpha": 0.7, "eps": 1e-5},),
    AffineScaledAttention: ({"scale": 0.3, "denominator": "total", "rho": 0.5},),
    TopNAttention: ({"n": 3, "scale": 0.3, "renormalize": False},),
}
SHARED: tuple[dict[str, Any], ...] = ({}, {"kv_heads": 2, "causal": True})

BUILT = [
    pytest.param(kind, {**own, **shared}, id=f"{kind.__name__}-{index}-{len(shared)}")
    for kind in MODULES
    for index, own in enumerate(OPTIONS.get(kind, ({},)))
    for shared in SHARED
]
each_kind = pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)


def required(kind: type[nn.Module]) -> dict[str, Any]:
    """What the module must be given beside its width and heads: small numbers."""
    parameters = list(inspect.signature(kind).parameters.values())[2:]
    return {parameter.name: 3 for parameter in parameters if parameter.default is parameter.empty}


@pytest.mark.parametrize(("kind", "options"), BUILT)
def test_what_a_module_shows_builds_one_that_takes_its_state_and_computes_the_same(
    kind: type[nn.Module], options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    module = kind(DIM, HEADS, **options).eval()
    again: nn.Module = eval(f"{kind.__name__}({module.extra_repr()})", vars(attnexport) | {"Grid": Grid})
    again.eval().load_state_dict(module.state_dict())
    x = torch.randn(2, TOKENS, DIM)
    assert torch.equal(again(x), module(x))


def test_a_module_is_shown_with_its_heads_and_options_and_without_defaults() -> None:
    module = KrauseAttention(64, 4, window=32, causal=True)
    assert repr(module).startswith("KrauseAttention(\n  dim=64, heads=4, window=32, causal=True\n")
    assert KrauseAttention(64, 4).extra_repr() == "dim=64, heads=4"


@each_kind
@pytest.mark.parametrize(
    ("dim", "heads", "kv_heads", "message"),
    [
        (10, 4, None, "heads: expected a divisor of dim=10, given 4"),
        (12, 4, 3, "kv_heads: expected a divisor of heads=4, given 3"),
        (12, 4, 8, "kv_heads: expected a divisor of heads=4, given 8"),
        (12, 0, None, "heads: expected an int >= 1, given 0"),
        (12, 4, 0, "kv_heads: expected None or an int >= 1, given 0"),
        (12, 4.0, None, "heads: expected an int >= 1, given 4.0"),
        ("12", 4, None, "dim: expected an int >= 1, given '12'"),
        (12, True, None, "heads: expected an int >= 1, given True"),
    ],
)
def test_widths_and_heads_must_fit(kind: type[nn.Module], dim: Any, heads: Any, kv_heads: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        kind(dim, heads, kv_heads=kv_heads, **required(kind))


@each_kind
def test_causal_is_true_or_false(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"^causal: expected True or False, given 'no'$"):
        kind(DIM, HEADS, causal="no", **required(kind))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (KrauseAttention, {"window": 0}, "window: expected None or an int >= 1, given 0"),
        (KrauseAttention, {"window": 2.5}, "window: expected None or an int >= 1, given 2.5"),
        (KrauseAttention, {"top_k": -1}, "top_k: expected None or an int >= 1, given -1"),
        (KrauseAttention, {"grid": (2, 3)}, r"grid: expected None or a Grid, given \(2, 3\)"),
        (KrauseAttention, {"grid": Grid(2, 3, 1), "window": 3}, "grid: expected None together with window, given both"),
        (KrauseAttention, {"sigma": 0.0}, "sigma: expected a finite number > 0, given 0.0"),
        (KrauseAttention, {"sigma": float("nan")}, "sigma: expected a finite number > 0, given nan"),
        (KrauseAttention, {"sigma_per_head": 1}, "sigma_per_head: expected True or False, given 1"),
        (KrauseAttention, {"softmax_branch": None}, "softmax_branch: expected True or False, given None"),
        (HadamardLinearAttention, {"factors": 0}, "factors: expected an int >= 1, given 0"),
        (HadamardLinearAttention, {"features": 1.5}, "features: expected an int >= 1, given 1.5"),
        (
            HadamardLinearAttention,
            {"feature_map": "cosine"},
            "feature_map: expected one of softplus, elu1, relu2, exp, mlp, given 'cosine'",
        ),
        (HadamardLinearAttention, {"tie": "key"}, "tie: expected one of none, query, all, given 'key'"),
        (HadamardLinearAttention, {"eps": -1e-6}, "eps: expected a finite number >= 0, given -1e-06"),
        (SelectiveSynchronizationAttention, {"top_k": 0}, "top_k: expected None or an int >= 1, given 0"),
        (SelectiveSynchronizationAttention, {"coupling": 0}, "coupling: expected a finite number > 0, given 0"),
        (SelectiveSynchronizationAttention, {"alpha": "low"}, "alpha: expected a finite number > 0, given 'low'"),
        (AffineScaledAttention, {"denominator": "all"}, "denominator: expected one of visible, total, given 'all'"),
        (AffineScaledAttention, {"rho": 1.5}, "rho: expected a number from 0 to 1, given 1.5"),
        (AffineScaledAttention, {"scale": float("inf")}, "scale: expected None or a finite number, given inf"),
        (TopNAttention, {"n": None}, "n: expected an int >= 1, given None"),
        (TopNAttention, {"n": 3, "renormalize": 1}, "renormalize: expected True or False, given 1"),
    ],
)
def test_options_must_fit(kind: type[nn.Module], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        kind(DIM, HEADS, **options)


def test_integers_of_other_libraries_are_integers() -> None:
    np = pytest.importorskip("numpy")
    assert KrauseAttention(np.int64(12), np.int32(4), window=np.int64(3)).extra_repr() == "dim=12, heads=4, window=3"
