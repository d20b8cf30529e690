"""What modules hold beside parameters and buffers: numbers, tensors, and lists, dicts and objects of them.

A program fixes all of it at what it was during export. Forward may change it all the same, as ``self.seen.append(x)``
does, which is a state where what a call gives depends on it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (int, float, complex, str, type(None))


@dataclass(frozen=True)
class Attribute:
    """An attribute of a module at some time.

    Attributes:
        module: path of the module.
        name: of the attribute.
        leaves: the tensors, numbers and texts in it, with their places in it.
    """

    module: str
    name: str
    leaves: tuple[tuple[str, Any], ...]

    @property
    def path(self) -> str:
        """Of the attribute in the model."""
        return f"{self.module}.{self.name}".lstrip(".")

    @property
    def tensors(self) -> Iterator[Tensor]:
        """The tensors in it."""
        return (leaf for _, leaf in self.leaves if isinstance(leaf, Tensor))


Attributes = Mapping[tuple[str, str], Attribute]


def attributes(model: nn.Module) -> Attributes:
    """Attributes of all modules that are no parameters, buffers or modules, by path of the module and name."""
    return {
        (path, name): Attribute(path, name, tuple(_leaves(value, "", set())))
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in _OF_EVERY_MODULE
    }


def changed(before: Attributes, after: Attributes) -> list[Attribute]:
    """Those, as they were before, that now hold something else, and new ones, which held nothing."""
    return [
        before.get(key, Attribute(*key, ()))
        for key, now in after.items()
        if key not in before or not _same(before[key].leaves, now.leaves)
    ]


def gives_other_outputs(
    model: nn.Module, read: Sequence[Attribute], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bool:
    """Whether a call gives something else once these attributes are what a call before made of them.

    Copies of the model are called, with equal random numbers. False for a model that cannot be called or copied, as one
    that holds a lock: nothing can be told of it.

    Args:
        model: is left as it is.
        read: the attributes.
        args: positional arguments of a call.
        kwargs: keyword arguments of it.
    """
    try:
        once, twice = _copy(model), _copy(model)
        first = _called(once, args, kwargs)
    except Exception:
        return False
    made = [getattr(once.get_submodule(each.module), each.name, None) for each in read]
    for each, value in zip(read, made, strict=True):
        setattr(twice.get_submodule(each.module), each.name, value)
    try:
        second = _called(twice, args, kwargs)
    except Exception:
        return True
    return len(first) != len(second) or not all(_equal(a, b) for a, b in zip(first, second, strict=True))


def _leaves(value: Any, place: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Tensor, *_PLAIN)):
        yield place, value
    elif id(value) not in seen and not isinstance(value, nn.Module):
        seen.add(id(value))
        for key, part in _parts(value):
            yield from _leaves(part, f"{place}[{key!r}]", seen)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Contents of a list, a dict, or an object that is no function or class."""
    if isinstance(value, (list, tuple, deque)):
        yield from enumerate(value)
    elif isinstance(value, dict):
        yield from value.items()
    elif not callable(value):
        yield from getattr(value, "__dict__", {}).items()


def _same(before: Sequence[tuple[str, Any]], after: Sequence[tuple[str, Any]]) -> bool:
    return len(before) == len(after) and all(
        place == other_place and (leaf is other or (isinstance(leaf, _PLAIN) and leaf == other))
        for (place, leaf), (other_place, other) in zip(before, after, strict=True)
    )


def _copy(model: nn.Module) -> nn.Module:
    """A copy that shares no tensors, also of a model that holds results of earlier calls."""
    held = (tensor for attribute in attributes(model).values() for tensor in attribute.tensors)
    return copy.deepcopy(model, {id(t): t.detach().clone() for t in held if not isinstance(t, nn.Parameter)})


def _called(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    args, kwargs = pytree.tree_map_only(Tensor, torch.clone, (tuple(args), dict(kwargs)))
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return list(pytree.tree_leaves(model(*args, **kwargs)))


def _equal(first: Any, second: Any) -> bool:
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return type(first) is type(second) and bool(first == second)
    return first.shape == second.shape and torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
