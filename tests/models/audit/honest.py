"""Programs as honest users export them, with everything that torch.export writes into a file."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

import attnexport


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


@dataclasses.dataclass
class Batch:
    tokens: Tensor
    mask: Tensor | None = None


pytree._register_namedtuple(Pair, serialized_type_name="honest.Pair")
torch.export.register_dataclass(Batch, serialized_type_name="honest.Batch")


class Block(nn.Module):
    """Linear layers, tied weights, buffers of both kinds, a constant, a module whose name is no identifier."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.inner.weight
        self.register_buffer("kept", torch.arange(8.0))
        self.register_buffer("dropped", torch.ones(8), persistent=False)
        self.constant = torch.full((8,), 2.0)
        self.by_name = nn.ModuleDict({"layer-1": nn.LayerNorm(8)})

    def forward(self, x: Tensor, extra: Any = None, *, scale: Tensor | None = None) -> dict[str, Any]:
        y = self.by_name["layer-1"](self.tied(self.inner(x))) + self.kept * self.dropped + self.constant
        y = F.scaled_dot_product_attention(y, y, y, is_causal=True)
        if extra is not None:
            y = y + extra["k"][0]
        if scale is not None:
            y = y * scale
        return {"out": y, "sums": (y.sum(), [y.mean(-1)])}


class Shapes(nn.Module):
    """Guards, derived and data-dependent sizes, arithmetic on sizes."""

    def forward(self, x: Tensor, y: Tensor) -> Any:
        if x.shape[0] * y.shape[0] > 16:
            x = x + 1
        count = y.sum().to(torch.int64).item()
        torch._check(count >= 0)
        torch._check(count < 100)
        return (
            x.view(-1, 8)[:, : y.shape[0] // 2 + 1],
            torch.zeros(count),
            torch.full((max(x.shape[0], 3),), x.shape[0] ** 0.5),
            x.nonzero(),
            F.pad(x, (0, x.shape[0] % 3)),
            torch.arange(x.shape[0] // 2),
            x * y.mean().item(),
        )


class Branches(nn.Module):
    """Control flow over subgraphs, no_grad, autocast, vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor, *rest: Tensor, **named: Tensor) -> Any:
        self.calls.add_(1)
        with torch.no_grad():
            y = self.linear(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.linear(y)
        z = torch.cond(x.sum() > 0, lambda t: t.sin() + 1, lambda t: t.cos(), (x,))
        return y + rest[0] + named["bias"], torch.vmap(lambda t: t.sin())(z), torch.einsum("ij,kj->ik", x, x)


class Nested(nn.Module):
    def forward(self, pair: Pair, batch: Batch, flag: bool, mode: str, n: float, ordered: Any) -> Any:
        y = pair.first + pair.second if flag else pair.first
        return Pair(y * n, batch.tokens), Batch(y, batch.tokens), ordered["b"] + 1


class Derived(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x[: y.shape[0]] + y + x.view(-1, 2).amax(1)


class Operators(nn.Module):
    """Common operators whose arguments are texts, dtypes, lists or devices."""

    def forward(self, x: Tensor, ids: Tensor) -> Any:
        y = F.gelu(x, approximate="tanh")
        y = torch.div(y, 3, rounding_mode="floor") + F.pad(x, (1, 1), mode="reflect")[:, 1:-1]
        index = torch.searchsorted(torch.arange(8), ids, right=True)
        y = y.scatter_reduce(1, ids, x[:, :4], reduce="amax")
        grids = torch.meshgrid(torch.arange(3), torch.arange(2), indexing="ij")
        masked = torch.where(x > 0, x, float("-inf")).softmax(-1)
        top, where = masked.topk(2, dim=-1)
        parts = torch.split(x, [3, 5], dim=1)
        return (y.to(torch.float16), index, grids, top, where, parts, (ids & 1) | (ids ^ 2), x.to("cpu").clone())


def _export(module: nn.Module, *args: Any, shapes: Any = None, **kwargs: Any) -> ExportedProgram:
    torch.manual_seed(0)
    return torch.export.export(module.eval(), args, kwargs, dynamic_shapes=shapes, strict=False)


def block() -> ExportedProgram:
    shapes = {"x": {0: Dim("batch", min=1, max=64), 1: Dim("tokens")}, "extra": {"k": [None]}, "scale": None}
    return _export(Block(), torch.randn(2, 6, 8), scale=torch.ones(8), extra={"k": [torch.ones(8)]}, shapes=shapes)


def shapes() -> ExportedProgram:
    return _export(Shapes(), torch.randn(16, 8), torch.ones(6), shapes={"x": {0: Dim.DYNAMIC}, "y": {0: Dim.AUTO}})


def branches() -> ExportedProgram:
    return _export(Branches(), torch.ones(3, 8), torch.ones(8), bias=torch.ones(8))


def nested() -> ExportedProgram:
    pair, batch = Pair(torch.ones(3), torch.ones(3)), Batch(torch.ones(3))
    return _export(Nested(), pair, batch, True, "plain mode", 2.5, OrderedDict(b=torch.ones(2)))


def derived() -> ExportedProgram:
    half = Dim("half", min=2, max=32)
    return _export(Derived(), torch.randn(8), torch.randn(4), shapes={"x": {0: 2 * half}, "y": {0: half}})


def operators() -> ExportedProgram:
    return _export(Operators(), torch.randn(4, 8), torch.arange(16).view(4, 4) % 4)


def decomposed() -> ExportedProgram:
    return block().run_decompositions()


def half_precision() -> ExportedProgram:
    return _export(nn.Sequential(nn.Linear(8, 8), nn.Tanh()).to(torch.bfloat16), torch.ones(2, 8, dtype=torch.bfloat16))


def without_weights() -> ExportedProgram:
    return _export(Derived(), torch.randn(8), torch.randn(4))


def every_attention() -> ExportedProgram:
    """Every attention module of the package in a row, with dynamic batch and tokens."""
    modules = [getattr(attnexport, name) for name in attnexport.__all__]
    layers = [
        kind(*(16, 2, 3)[: len(_required(kind))])
        for kind in modules
        if inspect.isclass(kind) and issubclass(kind, nn.Module)
    ]
    assert layers
    return _export(nn.Sequential(*layers), torch.randn(2, 6, 16), shapes=({0: Dim("batch"), 1: Dim("tokens", min=4)},))


def _required(kind: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(kind).parameters.items()
    return [name for name, entry in parameters if entry.default is inspect.Parameter.empty]


PROGRAMS = tuple(
    functools.cache(export)
    for export in (
        block,
        shapes,
        branches,
        nested,
        derived,
        operators,
        decomposed,
        half_precision,
        without_weights,
        every_attention,
    )
)
