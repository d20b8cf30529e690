"""How a program's inputs and outputs nest, in plain words: a key for every part, a path for every leaf."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from torch.utils import _pytree as pytree

from attnexport.models.audit.expressions import is_plain_key

Key = str | int
Path = tuple[Key, ...]


def part_keys(spec: pytree.TreeSpec) -> list[Any] | None:
    """The names of a container's parts: a dict's keys, the fields of a dataclass or a named tuple.

    None for a sequence, and for a type that was registered without names.
    """
    if spec.type is None or spec.type in (tuple, list):
        return None
    keys = _known_keys(spec)
    return None if keys is None or len(keys) != len(spec.children()) else keys


def _known_keys(spec: pytree.TreeSpec) -> list[Any] | None:
    fields = getattr(spec.context, "_fields", None) or getattr(spec.type, "__match_args__", None)
    if pytree.is_namedtuple_class(spec.context) or (fields and issubclass(spec.type, tuple)):
        return list(fields or ())
    keys = _keys_of_an_instance(spec)
    if keys is None and _are_names(spec.context):
        return list(spec.context)  # transformers registers its ModelOutput without paths, with the keys as context.
    return keys


def _keys_of_an_instance(spec: pytree.TreeSpec) -> list[Any] | None:
    node = pytree.SUPPORTED_NODES[spec.type]
    if node.flatten_with_keys_fn is None:
        return None
    try:
        pairs, _ = node.flatten_with_keys_fn(node.unflatten_fn(list(range(len(spec.children()))), spec.context))
    except Exception:  # A constructor that takes tensors only.
        return None
    keys = [_key_of(entry) for entry, _ in pairs]
    return None if any(key is None for key in keys) else keys


def _key_of(entry: object) -> Any:
    """None for a position."""
    if isinstance(entry, pytree.MappingKey):
        return entry.key
    return entry.name if isinstance(entry, pytree.GetAttrKey) else None


def _are_names(context: object) -> bool:
    return isinstance(context, (list, tuple)) and bool(context) and all(isinstance(key, str) for key in context)


def leaf_paths(spec: pytree.TreeSpec) -> list[Path]:
    """The way to every leaf, from the outside in, by names or positions."""
    return list(_paths(spec, ()))


def _paths(spec: pytree.TreeSpec, path: Path) -> Iterator[Path]:
    if spec.type is None:
        yield path
        return
    keys = part_keys(spec)
    parts = range(len(spec.children())) if keys is None else plain_keys(keys)
    for key, child in zip(parts, spec.children(), strict=True):
        yield from _paths(child, (*path, key))


def plain_keys(keys: list[Any]) -> list[Key]:
    """The same keys as texts and numbers that a .pt2 may hold; two that become equal are told apart by a number."""
    plain: list[Key] = []
    for key in keys:
        text = key if is_plain_key(key) else re.sub(r"[^\w \-+:@/.,]", "_", str(key)).strip("_")[:128]
        plain.append(text if text not in plain else unused(str(text), [str(other) for other in plain]))
    return plain


def unused(name: str, taken: Collection[str]) -> str:
    """The name, or ``name_1`` and so on where it is taken."""
    number, fresh = 0, name
    while fresh in taken:
        number += 1
        fresh = f"{name}_{number}"
    return fresh


def plain_tree(spec: pytree.TreeSpec, leaves: Iterator[Any]) -> Any:
    """These leaves in tuples, lists and dicts alone, nested as spec says."""
    if spec.type is None:
        return next(leaves)
    keys = part_keys(spec)
    parts = [plain_tree(child, leaves) for child in spec.children()]
    if keys is not None:
        return dict(zip(plain_keys(keys), parts, strict=True))
    return tuple(parts) if spec.type is tuple else parts


def plain_spec(spec: pytree.TreeSpec) -> pytree.TreeSpec:
    """The same nesting in tuples, lists and dicts alone."""
    return pytree.tree_structure(plain_tree(spec, iter(range(spec.num_leaves))))
