"""visit_attention: which calls it finds, what it calls them, and their weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnexport
from attnexport.analysis.layers import AttentionCall, visit_attention
from attnexport.models.model import Model

WIDTH = 8


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def calls_of(module: nn.Module, *args: Tensor, tensors: list[Tensor] | None = None) -> list[AttentionCall]:
    program = torch.export.export(module.eval(), args, strict=False)
    found: list[AttentionCall] = []
    visit_attention(Model(program), tensors or list(args), found.append)
    return found


class Block(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x)


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            [
                Block(attnexport.KrauseAttention(WIDTH, 2, window=3)),
                Block(Softmax()),
                Block(attnexport.HadamardLinearAttention(WIDTH, 2, features=4)),
                Block(attnexport.SelectiveSynchronizationAttention(WIDTH, 2)),
                Block(attnexport.AffineScaledAttention(WIDTH, 2)),
                Block(attnexport.TopNAttention(WIDTH, 2, 3, kv_heads=1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])[:, 0]


@pytest.fixture(scope="module")
def calls() -> list[AttentionCall]:
    return calls_of(Net(), draw(3, 7, WIDTH))


def test_every_operator_is_found_in_order_and_named_by_its_module(calls):
    assert [call.layer for call in calls[:-1]] == [f"blocks.{index}.attention" for index in range(6)]
    assert [call.operator for call in calls] == [
        "Krause attention",
        "softmax attention",
        "Hadamard linear attention",
        "Selective synchronization attention",
        "Affine-scaled attention",
        "Top-N attention",
        "softmax attention",
    ]


def test_call_outside_of_a_module_is_named_after_its_node(calls):
    assert calls[-1].layer.startswith("scaled_dot_product_attention")


def test_shapes_are_those_of_the_call(calls):
    for call in calls[:-1]:
        assert call.weights.shape == (3, 2, 7, 7)
        assert call.visible.expand(call.weights.shape).all()
    assert calls[5].v.shape == (3, 1, 7, WIDTH // 2)
    assert calls[-1].weights.shape == (3, 1, 7, 7)


def test_weights_sum_to_one_but_for_the_variants_that_say_otherwise(calls):
    for call in calls:
        if call.operator != "Affine-scaled attention":
            assert torch.allclose(call.weights.sum(-1), torch.ones(3, call.weights.shape[1], 7), atol=1e-4)


class Exposed(nn.Module):
    """Returns what its attention call returns."""

    def __init__(self, call) -> None:
        super().__init__()
        self.call = call

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.call(q, k, v)


BOOLEAN = draw(5, 7, seed=5) > -1
ADDED = torch.where(BOOLEAN, draw(5, 7, seed=6), torch.finfo(torch.float32).min)
MINUS_INFINITY = torch.zeros(5, 7).masked_fill(~BOOLEAN, -torch.inf)
LENGTHS, START = torch.tensor([4, 7], dtype=torch.int32), torch.tensor([0, 2], dtype=torch.int32)


@pytest.mark.parametrize(
    "call",
    [
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3, enable_gqa=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, BOOLEAN, enable_gqa=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, ADDED, enable_gqa=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, MINUS_INFINITY, enable_gqa=True),
        lambda q, k, v: attnexport.krause_attention(q, k, v, torch.tensor(2.0), window=3, causal=True),
        lambda q, k, v: attnexport.top_n_attention(q, k, v, 2, kv_lengths=LENGTHS, q_start=START, causal=True),
        lambda q, k, v: attnexport.top_n_attention(q, k, v, 2, renormalize=False),
        lambda q, k, v: attnexport.affine_scaled_attention(q, k, v, q[..., 0], q[..., 1], causal=True),
    ],
    ids=["sdpa", "causal", "boolean", "added", "infinite", "krause", "lengths", "raw", "affine"],
)
def test_weights_times_values_are_the_output(call):
    q, k, v = draw(2, 4, 5, 6), draw(2, 2, 7, 6, seed=1), draw(2, 2, 7, 3, seed=2)
    (found,) = calls_of(Exposed(call), q, k, v)
    assert torch.allclose(found.weights @ found.v.repeat_interleave(2, 1), call(q, k, v), atol=1e-5)
    assert (found.weights[~found.visible.expand(found.weights.shape)] == 0).all()


@pytest.mark.parametrize("mask", [BOOLEAN, ADDED, MINUS_INFINITY], ids=["boolean", "added", "infinite"])
def test_masked_keys_are_not_visible(mask):
    q, k, v = draw(2, 4, 5, 6), draw(2, 4, 7, 6, seed=1), draw(2, 4, 7, 3, seed=2)
    (found,) = calls_of(Exposed(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask)), q, k, v)
    shape = found.weights.shape
    assert torch.equal(found.visible.expand(shape), BOOLEAN.expand(shape))


def test_model_without_attention_has_no_calls():
    assert calls_of(nn.Linear(4, 4), draw(2, 4)) == []


def test_visit_sees_the_tensors_that_are_given():
    x = draw(2, 5, WIDTH)
    first = calls_of(Softmax(), x)[0].weights
    (other,) = calls_of(Softmax(), x, tensors=[3 * x])
    assert not torch.allclose(first, other.weights)
