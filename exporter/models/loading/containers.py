"""Dataclasses and dicts of a user's own: known to torch as containers for the time of an export."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree


@contextlib.contextmanager
def containers_known(module: nn.Module, inputs: Any) -> Iterator[None]:
    """Registers with torch what the module takes and returns, as far as it is a dataclass or a kind of dict."""
    added: list[type] = []

    def learn(value: Any) -> None:
        for kind in _unknown(value):
            _register(kind)
            added.append(kind)
            learn(value)

    hook = module.register_forward_hook(lambda module, given, result: learn(result))
    try:
        learn(inputs)
        yield
    finally:
        hook.remove()
        for kind in added:
            pytree._deregister_pytree_node(kind)


def _unknown(value: Any) -> Iterator[type]:
    """The first type among the leaves that can be registered."""
    for leaf in pytree.tree_leaves(value):
        kind = type(leaf)
        if not isinstance(leaf, (type, torch.Tensor)) and (dataclasses.is_dataclass(kind) or issubclass(kind, Mapping)):
            yield kind
            return


def _register(kind: type) -> None:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if dataclasses.is_dataclass(kind):
        pytree.register_dataclass(kind, serialized_type_name=name)
        return
    pytree._private_register_pytree_node(
        kind,
        lambda mapping: (list(mapping.values()), list(mapping)),
        lambda values, keys: kind(zip(keys, values, strict=True)),
        serialized_type_name=name,
        flatten_with_keys_fn=lambda mapping: (
            [(pytree.MappingKey(key), value) for key, value in mapping.items()],
            list(mapping),
        ),
    )
