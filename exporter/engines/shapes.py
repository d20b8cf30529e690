"""The shapes for which an engine is built."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from attnexport.errors import InputError, did_you_mean
from attnexport.files.shapes import shape_text
from attnexport.graph.metadata import dim_ranges
from attnexport.messages import named, option
from attnexport.plugins.runtime.request import Profile


def profiles_for(model: ir.Model, given: Mapping[str, Profile]) -> dict[str, Profile]:
    """A profile for every input with a dynamic size: the one given, else one made of the ranges in the file.

    Raises:
        InputError: a profile for an input that the model does not have or that does not fit it, one dim with two
            sizes, or a dynamic input without a profile whose dims have no upper bound.
    """
    inputs = {value.name or "": value for value in model.graph.inputs}
    for name, profile in given.items():
        if name not in inputs:
            there = f"it has {', '.join(inputs)}{did_you_mean(name, inputs)}"
            raise InputError(f"{option('--shapes')} {name}: the model has no such input; {there}")
        _check_fits(inputs[name], profile)
    profiles: dict[str, Profile] = {}
    for name, value in inputs.items():
        if name in given:
            profiles[name] = given[name]
        elif any(not isinstance(size, int) for size in _sizes(value)):
            profiles[name] = _default(model, value)
    _check_names(inputs, profiles)
    return profiles


def _sizes_text(value: ir.Value) -> str:
    """An input's shape as in messages: (batch, 8, 8)."""
    return f"({', '.join('?' if size is None else str(size) for size in _sizes(value))})"


def _sizes(value: ir.Value) -> list[int | str | None]:
    if value.shape is None:
        raise InputError(f"{named('input', value.name or '')}: expected a known rank, given none in the file")
    return [size if isinstance(size, int) else size.value for size in value.shape]


def _check_fits(value: ir.Value, profile: Profile) -> None:
    sizes = _sizes(value)
    for shape in (profile.minimum, profile.optimum, profile.maximum):
        if len(shape) != len(sizes):
            given = shape_text(shape)
            expected = f"expected {len(sizes)} sizes {_sizes_text(value)}"
            raise InputError(f"{option('--shapes')} {value.name}: {expected}, given {given}")
        for axis, (size, wanted) in enumerate(zip(sizes, shape, strict=True)):
            if isinstance(size, int) and size != wanted:
                raise InputError(
                    f"{option('--shapes')} {value.name}: axis {axis} is fixed: expected {size}, given {wanted}"
                )


def _check_names(inputs: Mapping[str, ir.Value], profiles: Mapping[str, Profile]) -> None:
    """Refuses a named dim with another range in one input than in another."""
    first: dict[str, tuple[str, tuple[int, int, int]]] = {}
    for name, profile in profiles.items():
        ranges = zip(profile.minimum, profile.optimum, profile.maximum, strict=True)
        for size, limits in zip(_sizes(inputs[name]), ranges, strict=True):
            if not isinstance(size, str):
                continue
            other, expected = first.setdefault(size, (name, limits))
            if limits != expected:
                raise InputError(
                    f"{option('--shapes')} {name}: {size} is {_range(limits)} here and {_range(expected)} in {other}: "
                    "expected one range"
                )


def _range(limits: tuple[int, int, int]) -> str:
    return ":".join(map(str, limits))


def _default(model: ir.Model, value: ir.Value) -> Profile:
    """From the ranges with which the model was exported; the largest sizes are taken for the usual ones."""
    ranges = dim_ranges(model)
    low, high = [], []
    for axis, size in enumerate(_sizes(value)):
        if isinstance(size, int):
            lower, upper = size, size
        else:
            lower, bound = ranges.get(size or "", (1, None))
            if bound is None:
                raise InputError(
                    f"{option('--shapes')} {value.name}: axis {axis} ({size or '?'}) has no upper bound in the file: "
                    f"give {option('--shapes')} {value.name}=MIN:OPT:MAX, three shapes such as {_example(value)}"
                )
            upper = bound
        low.append(lower)
        high.append(upper)
    return Profile(tuple(low), tuple(high), tuple(high))


def _example(value: ir.Value) -> str:
    return "x".join(str(size) if isinstance(size, int) else "1" for size in _sizes(value))
