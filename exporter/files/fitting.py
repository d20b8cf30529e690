"""Whether arrays fit the inputs that they are for: one rule for PyTorch models and for model files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sizes = Sequence[int | str]
"""Sizes of an input: fixed ones, dynamic ones by name, -1 where they have none."""


@dataclass(frozen=True)
class Clash:
    """One dynamic size that is two numbers.

    Attributes:
        name: of the size.
        size, input, axis: what it is, and where.
        first_size, first_input, first_axis: what it is where it comes first.
    """

    name: str
    size: int
    input: str
    axis: int
    first_size: int
    first_input: str
    first_axis: int


def fits(wanted: Sizes, given: Sequence[int]) -> bool:
    """Whether an array's shape has the rank and the fixed sizes of an input."""
    pairs = zip(wanted, given, strict=False)
    return len(wanted) == len(given) and all(isinstance(size, str) or size in (-1, real) for size, real in pairs)


def clash(shapes: Iterable[tuple[str, Sizes, Sequence[int]]]) -> Clash | None:
    """The first name that stands for two sizes, given each input's name, sizes and array's shape."""
    first: dict[str, tuple[int, str, int]] = {}
    for name, wanted, given in shapes:
        for axis, (size, real) in enumerate(zip(wanted, given, strict=True)):
            known = first.setdefault(size, (real, name, axis)) if isinstance(size, str) else (real, name, axis)
            if known[0] != real:
                return Clash(str(size), real, name, axis, *known)
    return None


def takes(wanted: np.dtype[Any], given: np.dtype[Any]) -> bool:
    """Whether values of a type have a place in the wanted one: whole numbers and booleans in each other, floats in
    floats however they are rounded; bfloat16 comes as two raw bytes."""
    if wanted.kind in "biu":
        return given.kind in "biu"
    return given.kind == wanted.kind or (wanted.kind == "f" and given == np.dtype("V2"))


def holds(wanted: np.dtype[Any], values: NDArray[Any]) -> bool:
    """Whether whole numbers are within the range of the wanted type, 0 and 1 of bool; other values are."""
    if wanted.kind not in "biu" or not values.size:
        return True
    lowest, highest = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted).min, np.iinfo(wanted).max)
    return bool(lowest <= int(values.min()) and int(values.max()) <= highest)
