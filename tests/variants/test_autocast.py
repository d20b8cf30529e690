"""The operators and modules under autocast: what torch's own attention takes, they take."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.variants.cases import Case, each_case, each_variant, error, map_tensors
from tests.variants.test_modules import DIM, Factory, affine, each_module, hla, krause

HALVES = [torch.bfloat16, torch.float16]
each_half = pytest.mark.parametrize("dtype", HALVES, ids=["bfloat16", "float16"])


@each_module
@each_half
def test_a_module_gives_its_numbers_in_half_precision(factory: Factory, dtype: torch.dtype) -> None:
    module, x = factory().eval(), torch.randn(2, 7, DIM)
    with torch.autocast("cpu", dtype=dtype):
        out = module(x)
    assert out.dtype == dtype
    out.float().sum().backward()
    out = out.detach()
    assert all(weight.grad is not None for weight in module.parameters())
    expected = module(x).detach()
    assert error(out, expected) <= 16 * torch.finfo(dtype).eps * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("factory", [krause, hla, affine])
def test_a_compiled_module_is_under_autocast_too(factory: Factory) -> None:
    torch.compiler.reset()
    module, x = factory().eval(), torch.randn(2, 7, DIM)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert error(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x)) <= 0.02


@each_case
def test_an_operators_own_sums_stay_in_float32(case: Case) -> None:
    inputs = case.inputs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = case(inputs, causal=True)
    assert torch.equal(inside, case(inputs, causal=True))


@each_variant
@each_half
def test_queries_in_float32_meet_values_in_half_precision(case: Case, dtype: torch.dtype) -> None:
    """Rotary embeddings leave queries and keys in float32."""
    inputs = case.inputs(dtype=torch.float32)
    mixed = inputs | {"v": inputs["v"].to(dtype)}
    with torch.autocast("cpu", dtype=dtype):
        out = case(mixed)
    assert out.dtype == dtype
    assert error(out, case(inputs)) <= 32 * torch.finfo(dtype).eps
    with pytest.raises(ValueError, match="v: expected dtype of"):
        case(mixed)


def test_torchs_own_attention_takes_the_same_mixture() -> None:
    q = torch.randn(1, 1, 4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert F.scaled_dot_product_attention(q, q, q.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="same dtype"):
        F.scaled_dot_product_attention(q, q, q.bfloat16())


@each_variant
def test_double_precision_is_left_alone(case: Case) -> None:
    inputs = case.inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(case(inputs), case(inputs))
        with pytest.raises(ValueError, match="v: expected dtype of"):
            case(map_tensors(lambda tensor: tensor, inputs) | {"v": inputs["v"].bfloat16()})
