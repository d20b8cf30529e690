"""The float64 reference really is float64."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnexport
from attnexport.models.model import Model
from attnexport.models.program import example_inputs
from attnexport.models.running import ProgramRunner


class Casts(nn.Module):
    """Everything that could hold a computation down to float32."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("table", torch.linspace(0, 1, 8))
        self.register_buffer("hidden", torch.rand(8), persistent=False)
        self.plain = torch.full((8,), 0.1)

    def forward(self, x: Tensor, *, scale: Tensor, mask: Tensor) -> dict[str, Tensor]:
        wide = torch.float64 if self.linear.weight.dtype == torch.float64 else torch.float32
        y = self.linear(x).to(wide) + torch.arange(8, dtype=wide) * 0.1 + torch.full((8,), 1 / 3) + self.table
        with torch.no_grad():
            y = y * F.softmax(x.to(wide), -1, dtype=wide) + self.hidden + self.plain
        y = y + torch.arange(0.0, 0.8, 0.1) + torch.linspace(0, 1, 8) + torch.ones(8, dtype=x.dtype) / 3
        y = y + torch.zeros_like(x).add_(1 / 7) + torch.tensor(2, dtype=wide).sqrt()
        y = F.layer_norm(y.masked_fill(mask, 3.0), (8,)) * scale
        return {"y": y, "order": y.argsort(-1), "total": y.sum().type_as(x)}


class FloatCall(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().exp().half().float().sin().bfloat16()


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.linear(x)


def export(module: nn.Module, *args: Tensor, **kwargs: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(module.eval(), args, kwargs, strict=False)


def in_float64(module: nn.Module, *args: Tensor, **kwargs: Tensor):
    """The module itself run in float64, its plain tensors too."""
    module = copy.deepcopy(module).double()
    for name, value in list(vars(module).items()):
        if isinstance(value, Tensor) and value.is_floating_point():
            setattr(module, name, value.double())
    wide = [value.double() if value.is_floating_point() else value for value in (*args, *kwargs.values())]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            return module(*wide[: len(args)], **dict(zip(kwargs, wide[len(args) :], strict=True)))
    finally:
        torch.set_default_dtype(torch.float32)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def same(given: Tensor, wanted: Tensor) -> bool:
    return given.dtype == wanted.dtype and bool((given - wanted).abs().max() <= 1e-12 * wanted.abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_casts_factories_buffers_and_no_grad_blocks_are_widened(dtype):
    torch.manual_seed(0)
    module = Casts().to(dtype)
    x, scale, mask = draw(3, 8, dtype=dtype), draw(8, seed=1, dtype=dtype), draw(3, 8, seed=2) > 1
    program = export(module, x, scale=scale, mask=mask)
    y, order, total = Model(program).run([x, scale, mask], dtype=torch.float64)
    wanted = in_float64(module, x, scale=scale, mask=mask)
    assert same(y, wanted["y"])
    assert same(total, wanted["total"])
    assert order.dtype == torch.int64
    assert torch.equal(order, wanted["order"])


def test_program_at_its_own_precision_differs_from_the_reference():
    module, x = Casts(), draw(3, 8)
    options = {"scale": draw(8, seed=1), "mask": draw(3, 8, seed=2) > 1}
    program = export(module, x, **options)
    own = ProgramRunner(program).run(example_inputs(program))[0]
    difference = (own.double() - Model(program).run(example_inputs(program), dtype=torch.float64)[0]).abs().max()
    assert 1e-9 < difference < 1e-5


def test_a_chain_of_casts_never_rounds():
    x = draw(5, 7)
    (given,) = Model(export(FloatCall(), x)).run([x], dtype=torch.float64)
    assert same(given, x.double().exp().sin())


def test_autocast_does_not_narrow_the_reference():
    module, x = Autocast(), draw(3, 8)
    (given,) = Model(export(module, x)).run([x], dtype=torch.float64)
    assert same(given, in_float64(module, x))


def test_autocast_does_not_narrow_float32():
    """At a contender's precision everything is in it, what the module's autocast would hold in bfloat16 too."""
    module, x = Autocast(), draw(3, 8)
    (given,) = Model(export(module, x)).run([x], dtype=torch.float32)
    assert torch.equal(given, module.linear(x))


def variant(name: str) -> nn.Module:
    torch.manual_seed(0)
    return {
        "krause": lambda: attnexport.KrauseAttention(16, 2, window=3),
        "hla": lambda: attnexport.HadamardLinearAttention(16, 2, features=4),
        "ssa": lambda: attnexport.SelectiveSynchronizationAttention(16, 2),
        "affine": lambda: attnexport.AffineScaledAttention(16, 2),
        "topn": lambda: attnexport.TopNAttention(16, 2, 3),
    }[name]()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["krause", "hla", "ssa", "affine", "topn"])
def test_every_variant_is_computed_in_float64(name, dtype):
    module, x = variant(name).to(dtype), draw(2, 6, 16, dtype=dtype)
    (given,) = Model(export(module, x)).run([x], dtype=torch.float64)
    assert same(given, in_float64(module.eval(), x))


def test_default_dtype_is_restored():
    x = draw(5, 7)
    Model(export(FloatCall(), x)).run([x], dtype=torch.float64)
    assert torch.get_default_dtype() == torch.float32


class Nested(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor], state: dict[str, Tensor], *, extra: Tensor, power: int = 3) -> tuple:
        return {"a": pair[0] * state["k"], "b": [pair[1] + extra]}, (state["k"] ** power, extra.sum())


def test_nested_inputs_keywords_and_constants_keep_their_order():
    a, b, k, extra = (draw(3, seed=seed) for seed in range(4))
    program = torch.export.export(Nested(), ((a, b), {"k": k}), {"power": 2, "extra": extra}, strict=False)
    tensors = example_inputs(program)
    fresh = [tensor * 2 for tensor in tensors]
    given = Model(program).run(fresh, dtype=torch.float64)
    wanted = [2 * a.double() * 2 * k, 2 * b.double() + 2 * extra, (2 * k.double()) ** 2, (2 * extra.double()).sum()]
    assert len(given) == 4
    assert all(same(one, other) for one, other in zip(given, wanted, strict=True))
