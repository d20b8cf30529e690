"""The caller's dynamic_shapes beside the inputs that they describe: names, checks and messages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from attnexport.errors import InputError
from attnexport.messages import count
from attnexport.models.loading.dim_texts import FORMS, limits_missed, root_of, root_size
from attnexport.models.loading.torch_dims import HINTS, dim_of


@dataclass(frozen=True)
class InputLeaf:
    """One tensor or constant of the inputs.

    name: the argument's name where every argument is a tensor; else as torch.export names placeholders, the
        path in small letters (``state_k_0``). attnexport.models.program names a program's inputs alike.
    """

    name: str
    value: object
    dims: Mapping[int, object] = field(default_factory=dict)

    def named_dims(self) -> Iterator[tuple[int, Any]]:
        """The axes with a torch Dim that has a name (Dim.AUTO and Dim.DYNAMIC have none)."""
        for axis, dim in self.dims.items():
            if isinstance(getattr(dim, "__name__", None), str):
                yield axis, dim


def resolve_dynamic_shapes(
    dynamic_shapes: Any, model: nn.Module | ExportedProgram, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """dynamic_shapes with texts replaced by torch Dims, one for each name.

    Raises:
        InputError: a text that is neither a name nor a formula of one.
    """
    if hasattr(dynamic_shapes, "dynamic_shapes"):
        return dynamic_shapes.dynamic_shapes(model, tuple(args), dict(kwargs))
    roots: dict[str, Any] = {}

    def resolve(value: Any) -> Any:
        if isinstance(value, str):
            return _dim_of_text(value, roots)
        if isinstance(value, Mapping):
            return {key: resolve(entry) for key, entry in value.items()}
        if type(value) in (list, tuple):
            return type(value)(resolve(entry) for entry in value)
        return value

    return resolve(dynamic_shapes)


def _dim_of_text(text: str, roots: dict[str, Any]) -> Any:
    if text in HINTS:
        return HINTS[text]
    root = root_of(text)
    if root is None:
        raise InputError(f"dynamic_shapes: {text!r} is not a name for a dimension: expected {FORMS}")
    return dim_of(text, roots.setdefault(root, Dim(root)))


def input_leaves(
    model: nn.Module | ExportedProgram, args: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any
) -> list[InputLeaf]:
    """Every input of the model with its dims, in the order in which torch.export makes placeholders of them.

    dynamic_shapes: as torch.export takes them, after resolve_dynamic_shapes.
    Raises:
        InputError: the inputs do not fit the model's signature, dims for an input that does not exist, or dims that
            do not fit the nesting of an input.
    """
    bound, combined = _bound(model, args, kwargs)
    specs = _by_argument(dynamic_shapes, combined)
    leaves = [leaf for name, value in bound.items() for leaf in _walk((name,), value, specs.get(name))]
    if all(isinstance(value, torch.Tensor) for value in bound.values()):
        return [replace(leaf, name=name) for leaf, name in zip(leaves, bound, strict=True)]
    return leaves


def complete_dynamic_shapes(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any
) -> Any:
    """The same dims with an entry for every input, nested as the inputs are: torch.export asks for both."""
    if dynamic_shapes is None:
        return None
    _, combined = _bound(model, args, kwargs)
    specs = _by_argument(dynamic_shapes, combined)
    complete = {}
    for name, value in combined.items():
        dims = iter([dict(leaf.dims) or None for leaf in _walk((name,), value, specs.get(name))])
        complete[name] = _nested(value, dims)
    return complete


def _nested(value: Any, dims: Iterator[Any]) -> Any:
    """The dims in containers like the inputs'; torch.export wants a list for a type that a user registered."""
    children = _children(value)
    if children is None:
        return next(dims)
    parts = [_nested(child, dims) for _, child in children]
    if pytree._get_node_type(value) not in pytree.BUILTIN_TYPES:
        return parts
    return pytree.tree_unflatten(parts, pytree.tree_structure(value, is_leaf=lambda part: part is not value))


def _bound(
    model: nn.Module | ExportedProgram, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments by name in torch.export's order, and by the signature's parameters."""
    if isinstance(model, ExportedProgram):
        signature = model.module_call_graph[0].signature
        names = (signature and signature.forward_arg_names) or [f"arg_{i}" for i in range(len(args))]
        named = {**dict(zip(names, args, strict=False)), **kwargs}
        return named, named
    forward = inspect.signature(model.forward)
    try:
        combined = dict(forward.bind(*args, **kwargs).arguments)
    except TypeError as error:
        wanted = ", ".join(forward.parameters)
        raise InputError(f"the inputs do not fit the model's forward({wanted}): {error}") from None
    return {**forward.bind_partial(*args).arguments, **kwargs}, combined


def _by_argument(dynamic_shapes: Any, combined: Mapping[str, Any]) -> dict[str, Any]:
    if dynamic_shapes is None:
        return {}
    if isinstance(dynamic_shapes, (list, tuple)):
        if len(dynamic_shapes) != len(combined):
            raise InputError(
                f"dynamic_shapes: expected one entry for each of {', '.join(combined)}, given {len(dynamic_shapes)}"
            )
        return dict(zip(combined, dynamic_shapes, strict=True))
    if not isinstance(dynamic_shapes, Mapping):
        raise InputError(f"dynamic_shapes: expected a dict by input name, given a {type(dynamic_shapes).__name__}")
    specs: dict[str, Any] = {}
    for name, spec in dynamic_shapes.items():
        if name not in combined:
            raise InputError(f"dynamic_shapes: no input is called {name!r}; the inputs are {', '.join(combined)}")
        # Inputs that forward takes as **name are arguments of their own.
        specs.update(spec if isinstance(spec, Mapping) and not _is_axes(spec) else {})
        specs[name] = spec
    return specs


def _is_axes(spec: Mapping[Any, Any]) -> bool:
    return all(isinstance(axis, int) for axis in spec)


def _walk(path: tuple[str, ...], value: Any, spec: Any) -> Iterator[InputLeaf]:
    children = _children(value)
    if children is None:
        dims = _axes(path, value, spec) if isinstance(value, torch.Tensor) else {}
        yield InputLeaf("_".join(re.sub(r"[^a-zA-Z0-9_]", "_", part).lower() for part in path), value, dims)
        return
    for position, (key, child) in enumerate(children):
        yield from _walk((*path, str(key)), child, _child_spec(path, spec, position, key, len(children)))


def _children(value: Any) -> list[tuple[Any, Any]] | None:
    """The parts of a container with their keys; None for a leaf."""
    flat, _ = pytree.tree_flatten_with_path(value, is_leaf=lambda part: part is not value)
    if flat and not flat[0][0]:
        return None
    return [
        (getattr(path[0], "key", getattr(path[0], "idx", getattr(path[0], "name", ""))), part) for path, part in flat
    ]


def _child_spec(path: tuple[str, ...], spec: Any, position: int, key: Any, count: int) -> Any:
    if spec is None:
        return None
    if isinstance(spec, Mapping):
        return spec.get(key)
    if isinstance(spec, (list, tuple)) and len(spec) == count:
        return spec[position]
    raise InputError(f"dynamic_shapes: the entry for {'.'.join(path)} does not nest as the input does")


def _axes(path: tuple[str, ...], value: torch.Tensor, spec: Any) -> dict[int, object]:
    name = ".".join(path)
    if spec is None:
        return {}
    if isinstance(spec, (list, tuple)):
        if len(spec) != value.dim():
            raise InputError(f"dynamic_shapes: {name} has {count(value.dim(), 'dim')}, given {len(spec)}")
        spec = dict(enumerate(spec))
    if not isinstance(spec, Mapping) or not _is_axes(spec):
        raise InputError(f"dynamic_shapes: expected a dict of axes for {name}, given {spec!r}")
    for axis in spec:
        if not 0 <= axis < value.dim():
            raise InputError(
                f"dynamic_shapes: {name} has {count(value.dim(), 'dim')} (0 to {value.dim() - 1}), given axis {axis}"
            )
    return {axis: dim for axis, dim in spec.items() if dim is not None}


def check_example(leaves: Sequence[InputLeaf]) -> None:
    """Refuse examples from which torch.export would fix a dim that was declared dynamic.

    Raises:
        InputError: a dynamic dim of size 1 or 0, outside its own range, of a size that its formula cannot have, or of
            one name and two sizes.
    """
    seen: dict[str, tuple[int, str]] = {}
    for leaf in leaves:
        assert isinstance(leaf.value, torch.Tensor) or not leaf.dims
        for axis, dim in leaf.named_dims():
            size, name = leaf.value.shape[axis], dim.__name__  # type: ignore[attr-defined]
            where = f"{leaf.name} axis {axis}"
            if size < 2:
                raise InputError(
                    f"dynamic dim {name!r} ({where}) is {size} in the example, and torch.export would fix it there: "
                    "give an example of size 2 or more"
                )
            root, value = _root_in_example(dim, size, where)
            first, place = seen.setdefault(root, (value, where))
            if first != value:
                raise InputError(f"dynamic dim {root!r} is {first} in {place} and {value} in {where}: give one size")


def _root_in_example(dim: Any, size: int, where: str) -> tuple[str, int]:
    """The name in ``2*n``, and its size where the dim has this one."""
    name, root = dim.__name__, getattr(dim, "root", dim)
    value = size if root is dim else root_size(name, size)
    if value is None:
        raise InputError(f"dynamic dim {name!r} ({where}) is {size} in the example, which no {root.__name__} makes")
    low, high = (root.min, root.max) if type(root) is Dim else (0, value)
    missed = limits_missed(value, low, high if isinstance(high, int) else None)
    if missed is not None:
        raise InputError(f"dynamic dim {root.__name__!r} ({where}): expected {missed}, given {value} in the example")
    return root.__name__, value
