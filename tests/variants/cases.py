"""The table of operators, options, shapes and visibilities that the tests of this folder run over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from inspect import Parameter, isclass, signature
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import settings
from torch import Generator, Tensor, nn
from torch.profiler import ProfilerActivity, profile

import attnexport
from attnexport import (
    Grid,
    affine_scaled_attention,
    hadamard_linear_attention,
    krause_attention,
    selective_synchronization_attention,
    top_n_attention,
)
from attnexport.variants.registry import all_variants, public_names, variant_of_torch_op
from attnexport.variants.spec import Variant
from tests.variants import formulas

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    batch: int = 2
    heads: int = 4
    kv_heads: int = 2
    rows: int = 7
    keys: int = 7
    width: int = 5
    value_width: int = 3


def map_tensors(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """The inputs with the function applied to every tensor, those in lists too."""
    return {
        name: [function(item) for item in value] if isinstance(value, list) else function(value)
        for name, value in inputs.items()
    }


def tensors_of(inputs: Inputs) -> list[Tensor]:
    """All tensors of the inputs, lists flattened."""
    return [item for value in inputs.values() for item in (value if isinstance(value, list) else [value])]


@dataclass(frozen=True)
class Case:
    """One operator with one set of options.

    Attributes:
        per_row, per_key: inputs whose axis 2 counts query rows or keys.
        tokens: number of rows and keys when the options fix it.
    """

    name: str
    operator: Callable[..., Tensor]
    formula: Callable[..., Tensor]
    draw: Callable[[Shape, Generator], Inputs]
    per_row: tuple[str, ...]
    per_key: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = None

    @property
    def positional(self) -> bool:
        return bool({"window", "grid"} & self.options.keys())

    @property
    def takes_bias(self) -> bool:
        kinds = {item.name: str(item.type) for item in self.torch_op._schema.arguments}
        return kinds.get("bias") == "Optional[Tensor]"

    @property
    def torch_op(self) -> Any:
        return getattr(torch.ops.attnexport, self.operator.__name__).default

    def fit(self, shape: Shape) -> Shape:
        return shape if self.tokens is None else replace(shape, rows=self.tokens, keys=self.tokens)

    def inputs(self, shape: Shape | None = None, dtype: torch.dtype = torch.float64, seed: int = 0) -> Inputs:
        drawn = self.draw(self.fit(shape or Shape()), Generator().manual_seed(seed))
        return map_tensors(lambda tensor: tensor.to(dtype), drawn)

    def __call__(self, inputs: Inputs, **visibility: Any) -> Tensor:
        return self.operator(**inputs, **self.options, **visibility)

    def expected(self, inputs: Inputs, **visibility: Any) -> Tensor:
        return self.formula(**inputs, **self.options, **visibility)

    def raw_arguments(self, inputs: Inputs, **visibility: Any) -> tuple[Any, ...]:
        """What the public function passes to the registered operator."""
        with mock.patch.object(sys.modules[self.operator.__module__], "_operator") as spy:
            self(inputs, **visibility)
        arguments: tuple[Any, ...] = spy.call_args.args
        return arguments

    def weights(self, inputs: Inputs, **visibility: Any) -> Tensor:
        """The variant's dense weights of the same call."""
        variant = variant_of_torch_op(self.torch_op)
        assert variant is not None
        return variant.weights(**variant.bind(self.raw_arguments(inputs, **visibility), {}))


def normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def uniform(generator: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def draw_qkv(shape: Shape, generator: Generator) -> Inputs:
    return {
        "q": normal(generator, shape.batch, shape.heads, shape.rows, shape.width),
        "k": normal(generator, shape.batch, shape.kv_heads, shape.keys, shape.width),
        "v": normal(generator, shape.batch, shape.kv_heads, shape.keys, shape.value_width),
    }


def draw_krause(shape: Shape, generator: Generator) -> Inputs:
    return draw_qkv(shape, generator) | {"sigma": 0.7 + uniform(generator, shape.heads)}


def draw_krause_one_sigma(shape: Shape, generator: Generator) -> Inputs:
    return draw_qkv(shape, generator) | {"sigma": 0.7 + uniform(generator)}


def draw_hla(*widths: int) -> Callable[[Shape, Generator], Inputs]:
    def draw(shape: Shape, generator: Generator) -> Inputs:
        return {
            "query_factors": [uniform(generator, shape.batch, shape.heads, shape.rows, width) for width in widths],
            "key_factors": [uniform(generator, shape.batch, shape.kv_heads, shape.keys, width) for width in widths],
            "v": normal(generator, shape.batch, shape.kv_heads, shape.keys, shape.value_width),
        }

    return draw


def draw_ssa(shape: Shape, generator: Generator) -> Inputs:
    return {
        "omega_q": 0.5 * normal(generator, shape.batch, shape.heads, shape.rows, shape.width),
        "omega_k": 0.5 * normal(generator, shape.batch, shape.kv_heads, shape.keys, shape.width),
        "theta": 0.7 * normal(generator, shape.batch, shape.kv_heads, shape.keys, shape.width),
        "v": normal(generator, shape.batch, shape.kv_heads, shape.keys, shape.value_width),
        "coupling": float64(3.0),
        "alpha": 0.2 + 0.3 * uniform(generator, shape.heads),
    }


def draw_affine(shape: Shape, generator: Generator) -> Inputs:
    return draw_qkv(shape, generator) | {
        "alpha": uniform(generator, shape.batch, shape.heads, shape.rows),
        "beta": 0.1 * normal(generator, shape.batch, shape.heads, shape.rows),
    }


def _krause(name: str, draw: Any = draw_krause, tokens: int | None = None, **options: Any) -> Case:
    return Case(name, krause_attention, formulas.krause, draw, ("q",), ("k", "v"), options, tokens)


def _krause_grid(name: str, *sizes: Any, **options: Any) -> Case:
    grid = Grid(*sizes)
    return _krause(name, tokens=grid.tokens, grid=grid, **options)


def _hla(name: str, *widths: int) -> Case:
    factors = ("query_factors",), ("key_factors", "v")
    return Case(name, hadamard_linear_attention, formulas.hla, draw_hla(*widths), *factors)


def _ssa(name: str, **options: Any) -> Case:
    keys = ("omega_k", "theta", "v")
    return Case(name, selective_synchronization_attention, formulas.ssa, draw_ssa, ("omega_q",), keys, options)


def _affine(name: str, **options: Any) -> Case:
    rows = ("q", "alpha", "beta")
    return Case(name, affine_scaled_attention, formulas.affine, draw_affine, rows, ("k", "v"), options)


def _top_n(name: str, **options: Any) -> Case:
    return Case(name, top_n_attention, formulas.top_n, draw_qkv, ("q",), ("k", "v"), options)


_CASES = {
    "affine": (
        _affine("affine"),
        _affine("affine-scale", scale=0.8),
    ),
    "hla": (
        _hla("hla-two", 4, 3),
        _hla("hla-one", 4),
        _hla("hla-three", 2, 3, 2),
    ),
    "krause": (
        _krause("krause-window6-top2", window=6, top_k=2),
        _krause("krause"),
        _krause("krause-one-sigma", draw=draw_krause_one_sigma),
        _krause("krause-top3", top_k=3),
        _krause("krause-window1", window=1),
        _krause("krause-window4", window=4),
        _krause("krause-window20", window=20),
        _krause("krause-window4-prefix3", window=4, prefix=3),
        _krause("krause-window3-prefix2-top3", window=3, prefix=2, top_k=3),
        _krause_grid("krause-chebyshev1", 3, 5, 1, "chebyshev", 1),
        _krause_grid("krause-chebyshev2-prefix0", 5, 4, 2, "chebyshev", 0),
        _krause_grid("krause-manhattan1-prefix2", 4, 3, 1, "manhattan", 2),
        _krause_grid("krause-manhattan2-top3", 4, 5, 2, "manhattan", 1, top_k=3),
        _krause_grid("krause-radius0", 2, 3, 0, "chebyshev", 1),
    ),
    "ssa": (
        _ssa("ssa"),
        _ssa("ssa-top2", top_k=2),
    ),
    "topn": (
        _top_n("topn-3", n=3),
        _top_n("topn-1", n=1),
        _top_n("topn-3-raw", n=3, renormalize=False, scale=1.3),
    ),
}
"""By variant, the case that stands for it first."""


def cases_of(variant: Variant) -> tuple[Case, ...]:
    """A variant's cases: those of the table, else its operator without options, held to its own dense weights."""
    if variant.name in _CASES:
        return _CASES[variant.name]
    operator = getattr(attnexport, variant.reference.__name__)
    needed = {name for name, given in signature(operator).parameters.items() if given.default is Parameter.empty}
    if needed != {"q", "k", "v"}:
        return ()

    def formula(**inputs: Any) -> Tensor:
        arguments = plain.raw_arguments({name: inputs.pop(name) for name in ("q", "k", "v")}, **inputs)
        bound = variant.bind(arguments, {})
        return variant.weights(**bound) @ bound["v"].repeat_interleave(bound["q"].shape[1] // bound["v"].shape[1], 1)

    plain = Case(variant.name, operator, formula, draw_qkv, ("q",), ("k", "v"))
    return (plain,)


CASES = tuple(case for variant in all_variants() for case in cases_of(variant))

ONE_PER_VARIANT = tuple(case for variant in all_variants() for case in cases_of(variant)[:1])

MODULES = tuple(kind for kind in public_names().values() if isclass(kind) and issubclass(kind, nn.Module))

BIASED = tuple(case for case in CASES if case.takes_bias)

UNBOUND = tuple(case for case in CASES if case.tokens is None)

SHAPES = {
    "one": Shape(rows=1, keys=1),
    "odd": Shape(rows=7, keys=7),
    "63": Shape(batch=1, heads=2, kv_heads=1, rows=63, keys=63),
    "127": Shape(batch=1, heads=1, kv_heads=1, rows=127, keys=127),
    "fewer-rows": Shape(rows=5, keys=41),
    "more-rows": Shape(rows=41, keys=5),
    "decode": Shape(rows=1, keys=63),
    "decode-one-key": Shape(batch=1, rows=1, keys=1),
    "three-queries-a-key": Shape(heads=6, kv_heads=2, rows=9, keys=11),
    "one-kv-head": Shape(heads=3, kv_heads=1, rows=9, keys=11),
    "no-grouping": Shape(heads=3, kv_heads=3, rows=9, keys=11),
    "wide-values": Shape(rows=9, keys=11, width=3, value_width=8),
    "width-one": Shape(rows=9, keys=11, width=1, value_width=1),
}

VISIBILITIES: dict[str, Callable[[Shape], dict[str, Any]]] = {
    "all": lambda shape: {},
    "causal": lambda shape: {"causal": True},
    "lengths": lambda shape: {"kv_lengths": lengths(shape)},
    "causal-lengths": lambda shape: {"causal": True, "kv_lengths": lengths(shape)},
    "prefill": lambda shape: {"causal": True, "kv_lengths": lengths(shape), "q_start": starts(shape, 0)},
    "decode": lambda shape: {
        "causal": True,
        "kv_lengths": lengths(shape),
        "q_start": lengths(shape) - shape.rows,
    },
    "start-only": lambda shape: {"q_start": starts(shape, 2)},
    "before-the-keys": lambda shape: {"causal": True, "q_start": starts(shape, -3)},
    "beyond-the-keys": lambda shape: {"causal": True, "q_start": starts(shape, shape.keys + 1)},
    "beyond-not-causal": lambda shape: {"q_start": starts(shape, shape.keys - 2)},
    "one-empty": lambda shape: {"kv_lengths": starts(shape, 0)},
    "too-long": lambda shape: {"causal": True, "kv_lengths": starts(shape, shape.keys + 3)},
    "left-padded": lambda shape: {"kv_start": starts(shape, 1)},
    "causal-left-padded": lambda shape: {"causal": True, "kv_start": starts(shape, 2)},
    "padded-on-both-sides": lambda shape: {"kv_lengths": lengths(shape), "kv_start": starts(shape, 0)},
    "sliding-cache": lambda shape: {
        "causal": True,
        "kv_lengths": lengths(shape),
        "q_start": lengths(shape) - shape.rows,
        "kv_start": lengths(shape) // 2,
    },
    "start-behind-the-end": lambda shape: {
        "kv_lengths": lengths(shape),
        "kv_start": lengths(shape) + starts(shape, -1),
    },
    "start-out-of-range": lambda shape: {"causal": True, "kv_start": starts(shape, -4) * shape.keys},
}


def lengths(shape: Shape) -> Tensor:
    """Three quarters of the keys and one quarter in turn, at least one."""
    return int32(*[(shape.keys * (3 - 2 * (b % 2)) + 3) // 4 for b in range(shape.batch)])


def starts(shape: Shape, first: int) -> Tensor:
    """Positions first, first + 3, first + 6 and so on along the batch."""
    return int32(*[first + 3 * b for b in range(shape.batch)])


def each(*cases: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases])


examples = settings(derandomize=True, deadline=None, max_examples=40, database=None)

each_case = each(*CASES)
each_biased = each(*BIASED)
each_unbound = each(*UNBOUND)
each_variant = each(*ONE_PER_VARIANT)
each_shape = pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in SHAPES.items()])
each_visibility = pytest.mark.parametrize(
    "visibility", [pytest.param(rule, id=name) for name, rule in VISIBILITIES.items()]
)


def with_gradients(inputs: Inputs) -> Inputs:
    """The inputs as leaves that want a gradient."""
    return map_tensors(lambda tensor: tensor.detach().requires_grad_(), inputs)


def int32(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def one_hot_values(shape: Shape, dtype: torch.dtype = torch.float64) -> Tensor:
    """Values (B, Hkv, M, M) that turn the output into the weights."""
    return torch.eye(shape.keys, dtype=dtype).expand(shape.batch, shape.kv_heads, -1, -1).contiguous()


def largest_allocation(call: Callable[[], Any]) -> int:
    """Bytes of the largest tensor that is made during the call."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    return max(event.self_cpu_memory_usage for event in record.events())


def float64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def error(actual: Tensor, expected: Tensor) -> float:
    """Largest absolute difference, as float64."""
    return float((actual.detach().double() - expected.detach().double()).abs().max()) if expected.numel() else 0.0
