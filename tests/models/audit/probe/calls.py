"""Calls of operators with arguments that they accept, as a start for hostile ones."""

from __future__ import annotations

import contextlib
import random
import re
import sys
import types
import unittest
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_CALLS_EACH = 6
_LARGEST = 5000
_DTYPES = (torch.float32, torch.int64)


@dataclass(frozen=True)
class Call:
    """Arguments of one operator, all by name, tensors as they were before the call."""

    operator: OpOverload
    arguments: dict[str, Any]


Calls = dict[str, list[Call]]


class _Recorder(TorchDispatchMode):
    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keep(self._calls, func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def keep(calls: Calls, operator: OpOverload, args: Iterable[Any], kwargs: dict[str, Any]) -> None:
    kept = calls[str(operator)]
    small = all(value.numel() <= _LARGEST for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor))
    if small and len(kept) < _CALLS_EACH:
        named = {entry.name: value for entry, value in zip(operator._schema.arguments, args, strict=False)}
        kept.append(Call(operator, copied({**named, **kwargs})))


def copied(value: Any) -> Any:
    """The same arguments with tensors of their own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(entry) for key, entry in value.items()}
    return [copied(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def sample_calls() -> Calls:
    """Up to six calls of each operator that torch has samples for."""
    calls: Calls = defaultdict(list)
    torch.manual_seed(0)
    for sample in _samples():
        with contextlib.suppress(Exception), torch.no_grad():
            sample(calls)
    return calls


def _samples() -> Iterator[Callable[[Calls], None]]:
    # torch's samples come with its own tests, which import a package for comparing texts that they do not need here.
    sys.modules.setdefault("expecttest", types.ModuleType("expecttest")).__dict__.setdefault(
        "TestCase", unittest.TestCase
    )
    from torch.testing._internal.common_methods_invocations import op_db

    for entry in op_db:
        for dtype in _DTYPES:
            if dtype in entry.dtypes:
                yield lambda calls, entry=entry, dtype=dtype: _record(entry, dtype, calls)


def _record(entry: Any, dtype: torch.dtype, calls: Calls) -> None:
    name = entry.aten_name
    for number, sample in enumerate(entry.sample_inputs("cpu", dtype, requires_grad=False)):
        if number >= _CALLS_EACH:
            return
        args = (sample.input, *sample.args)
        with contextlib.suppress(Exception), _Recorder(calls):
            entry.op(*copied(args), **copied(sample.kwargs))
        for packet in (getattr(torch.ops.aten, name, None), getattr(torch.ops.aten, f"{name}_", None)):
            with contextlib.suppress(Exception):
                overload = torch._C._jit_resolve_packet(packet._qualified_op_name, *args, **sample.kwargs)
                keep(calls, getattr(packet, overload), args, sample.kwargs)


def drawn(operator: OpOverload, number: int) -> Call:
    """Random arguments by the schema, which the operator need not accept."""
    chance = random.Random(f"{operator} {number}")
    return Call(operator, {entry.name: _value(entry, chance) for entry in operator._schema.arguments})


def _value(entry: Any, chance: random.Random) -> Any:
    kind = str(entry.real_type)
    if entry.has_default_value() and chance.random() < 0.7:
        return entry.default_value
    optional = re.fullmatch(r"Optional\[(.*)\]", kind)
    if optional and chance.random() < 0.5:
        return None
    kind = optional[1] if optional else kind
    several = re.fullmatch(r"List\[(.*)\]", kind)
    if several:
        return [_single(several[1], entry.name, chance) for _ in range(entry.N or chance.randint(1, 3))]
    return _single(kind, entry.name, chance)


def _single(kind: str, name: str, chance: random.Random) -> Any:
    if kind == "Tensor":
        shape = [chance.choice((1, 2, 4)) for _ in range(chance.choice((1, 2, 2, 3, 4)))]
        integers = bool(re.search("ind|target|length|offset|point|sizes", name)) or chance.random() < 0.2
        return torch.randint(0, 2, shape) if integers else torch.rand(shape)
    if kind in ("int", "SymInt", "number", "Scalar"):
        return chance.choice((0, 1, 2))
    if kind in ("float", "SymFloat"):
        return chance.choice((0.0, 0.5, 1.0))
    if kind in ("bool", "SymBool"):
        return chance.random() < 0.5
    values = {"ScalarType": torch.float32, "Device": torch.device("cpu"), "Layout": torch.strided}
    return values.get(kind) if kind != "str" else chance.choice(("mean", "sum", "none", "tanh", "floor", "constant"))
