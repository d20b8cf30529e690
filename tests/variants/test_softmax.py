"""Torch's own softmax attention, as what looks into models sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attnexport.variants.registry import all_variants, attention_of_torch_op, variant_of_torch_op
from attnexport.variants.spec import Attention
from tests.variants.cases import Shape, draw_qkv, error

TORCH_OP = torch.ops.aten.scaled_dot_product_attention.default
SHAPE = Shape(rows=7, keys=9, kv_heads=4)


@pytest.fixture
def attention() -> Attention:
    found = attention_of_torch_op(TORCH_OP)
    assert found is not None
    return found


def allowed(*shape: int) -> Tensor:
    """A mask that hides about a third of the keys and never the first one."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(5)) > 0.3
    mask[..., 0] = True
    return mask


def test_it_is_seen_but_is_none_of_the_variants(attention: Attention) -> None:
    assert variant_of_torch_op(TORCH_OP) is None
    assert attention not in all_variants()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param(SHAPE, {}, id="plain"),
        pytest.param(SHAPE, {"scale": 0.7}, id="scale"),
        pytest.param(SHAPE, {"is_causal": True}, id="causal"),
        pytest.param(SHAPE, {"attn_mask": allowed(7, 9)}, id="mask"),
        pytest.param(SHAPE, {"attn_mask": allowed(2, 1, 1, 9)}, id="padding"),
        pytest.param(SHAPE, {"attn_mask": allowed(1, 4, 7, 9)}, id="mask-per-head"),
        pytest.param(SHAPE, {"attn_mask": allowed(7, 9).double().log()}, id="added"),
        pytest.param(SHAPE, {"attn_mask": torch.linspace(-2, 2, 9, dtype=torch.float64).expand(7, 9)}, id="bias"),
        pytest.param(Shape(rows=7, keys=9), {"enable_gqa": True, "is_causal": True}, id="grouped"),
        pytest.param(Shape(rows=7, keys=9), {"enable_gqa": True, "attn_mask": allowed(2, 4, 7, 9)}, id="grouped-mask"),
    ],
)
def test_its_weights_times_the_values_are_what_torch_computes(
    attention: Attention, shape: Shape, options: dict[str, Any]
) -> None:
    q, k, v = draw_qkv(shape, torch.Generator().manual_seed(0)).values()
    call = attention.bind((q, k, v), options)
    weights, seen = attention.weights(**call), attention.rows(**call).seen()
    wide = v.repeat_interleave(shape.heads // shape.kv_heads, dim=1)
    assert error(weights @ wide, F.scaled_dot_product_attention(q, k, v, **options)) <= 1e-12
    assert torch.equal(weights > 0, seen.expand(weights.shape))
