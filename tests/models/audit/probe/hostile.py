"""What an attacker could give an operator in place of arguments that it accepts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.models.audit.probe.calls import copied

INTEGERS = (0, 1, -1, 2, -2, 3, 7, 64, -64, 4096, -4096, 2**20, -(2**20), 2**31 - 1, -(2**31), 2**31, 2**32, 2**40)
INTEGERS += (-(2**40), 2**62, -(2**62), 2**63 - 1, -(2**63), -(2**63) + 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 3.5, 1e9, -1e9, 1e20, -1e20, 1e38, -1e38, float("inf"), -float("inf"))
FLOATS += (float("nan"), 1e300, 5e-324)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8)
DTYPES += (torch.int8, torch.int16, torch.bool, torch.complex64)
# The audit lets only a type, a device, a layout or a format stand there.
_CHECKED_TYPES = frozenset({"device", "layout", "memory_format", "generator"})
TEXTS = ("mean", "sum", "prod", "amax", "none", "constant", "reflect", "circular", "same", "valid", "L", "U", "", "x")


def hostile(arguments: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same arguments, one to three of them changed."""
    changed: dict[str, Any] = copied(arguments)
    names = [name for name, value in changed.items() if name not in _CHECKED_TYPES]
    names = [name for name in names if changed[name] is not None or chance.random() < 0.2]
    for name in chance.sample(names, min(len(names), chance.choice((1, 1, 1, 2, 3)))):
        changed[name] = _other(changed[name], chance, name)
    return changed


def _other(value: Any, chance: random.Random, name: str = "") -> Any:
    if isinstance(value, Tensor):
        return _other_tensor(value, chance)
    if isinstance(value, torch.dtype) or name.endswith("dtype"):
        return chance.choice(DTYPES)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice(INTEGERS)
    if isinstance(value, float):
        return chance.choice(FLOATS)
    if isinstance(value, str):
        return chance.choice(TEXTS)
    if isinstance(value, list):
        return _other_list(value, chance)
    return chance.choice((None, torch.randn(2, 3), torch.tensor(chance.choice(INTEGERS)), 1, [1, -1]))


def _other_list(values: list[Any], chance: random.Random) -> list[Any]:
    kind = chance.randrange(5)
    if kind == 0:
        return values[:-1]
    if kind == 1:
        return [*values, *(values[-1:] or [chance.choice(INTEGERS)])]
    if kind == 2:
        return [_other(value, chance) for value in values]
    changed = list(values)
    if changed:
        position = chance.randrange(len(changed))
        changed[position] = _other(changed[position], chance)
    return changed


def _other_tensor(tensor: Tensor, chance: random.Random) -> Tensor:
    changes: list[Callable[[Tensor, random.Random], Tensor]] = [_other_shape, _other_strides, _other_dtype]
    values = _integers if not tensor.is_floating_point() and not tensor.is_complex() else _floats
    return chance.choice([*changes, values, values, values])(tensor, chance)


def _integers(tensor: Tensor, chance: random.Random) -> Tensor:
    """Hostile integers in all places or in one; a tensor of floats becomes one of integers."""
    dtype = tensor.dtype if not tensor.is_floating_point() and tensor.dtype is not torch.bool else torch.int64
    bounds = torch.iinfo(dtype) if dtype is not torch.complex64 else torch.iinfo(torch.int8)
    possible = [
        value for value in (*INTEGERS, *tensor.shape, bounds.max, bounds.min) if bounds.min <= value <= bounds.max
    ]
    values = tensor.to(dtype).contiguous()
    if values.numel() and chance.random() < 0.5:
        values.view(-1)[chance.choice((0, -1, values.numel() // 2))] = chance.choice(possible)
        return values
    if chance.random() < 0.5:
        return torch.full_like(values, chance.choice(possible))
    drawn = [chance.choice(possible) for _ in range(values.numel())]
    return torch.tensor(drawn, dtype=dtype).view(values.shape)


def _floats(tensor: Tensor, chance: random.Random) -> Tensor:
    if chance.random() < 0.2:
        return _integers(tensor, chance)
    if chance.random() < 0.5:
        return torch.full_like(tensor, chance.choice(FLOATS))
    return torch.tensor([chance.choice(FLOATS) for _ in range(tensor.numel())]).view(tensor.shape).to(tensor.dtype)


def _other_dtype(tensor: Tensor, chance: random.Random) -> Tensor:
    return tensor.to(chance.choice(DTYPES))


def _other_shape(tensor: Tensor, chance: random.Random) -> Tensor:
    """Empty, a scalar, one axis more or less, or one axis of another length; the values are kept and repeated."""
    shape = list(tensor.shape)
    kind = chance.randrange(6)
    if kind == 0:
        shape = []
    elif kind == 1:
        shape = [0] * chance.randrange(1, 4)
    elif kind == 2:
        shape = [chance.choice((1, 2, 5)), *shape]
    elif kind == 3:
        shape = shape[1:]
    elif shape:
        axis = chance.randrange(len(shape))
        shape[axis] = max(0, chance.choice((0, 1, shape[axis] - 1, shape[axis] + 1, 2 * shape[axis], 33)))
    flat = tensor.reshape(-1)
    count = 1
    for size in shape:
        count *= size
    if count and not flat.numel():
        return torch.ones(shape, dtype=tensor.dtype)
    return flat[torch.arange(count) % max(1, flat.numel())].reshape(shape)


def _other_strides(tensor: Tensor, chance: random.Random) -> Tensor:
    """Transposed, one value for all, or every second element."""
    kind = chance.randrange(3)
    if kind == 0 and tensor.dim() > 1:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if kind == 1 and tensor.numel():
        return tensor.reshape(-1)[:1].expand(tensor.shape)
    return torch.stack([tensor, tensor], -1)[..., 0]
