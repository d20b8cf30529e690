"""Which sizes the dynamic dims of a program are tried at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attnexport.errors import InputError
from attnexport.messages import named
from attnexport.models.model import Model
from attnexport.plugins.runtime.request import Profile

LARGEST_BATCH = 64

Profiles = Mapping[str, Profile]
"""Shapes that an engine takes, by input of the model."""


@dataclass(frozen=True)
class SizeRange:
    """Sizes of a dynamic dim.

    Attributes:
        symbol: torch's name for it.
        example: its size in the example inputs, or the size nearest to it that every engine takes.
        smallest, largest: the declared range as far as it is tried; without a declared upper bound a little more
            than twice the example.
        upper: the upper bound, or None.
        is_batch: whether it is the first axis of some input.
    """

    symbol: str
    example: int
    smallest: int
    largest: int
    upper: int | None
    is_batch: bool

    @property
    def middle(self) -> int:
        """Between the ends."""
        return (self.smallest + self.largest) // 2


def size_ranges(model: Model, longest: int, engines: Iterable[Profiles] = ()) -> tuple[SizeRange, ...]:
    """The dynamic dims of a model.

    Args:
        model: the model.
        longest: size up to which dims go, unless the example's is larger; batches go up to LARGEST_BATCH.
        engines: shapes that engines take, which the sizes are kept within. Default: none.

    Raises:
        InputError: two engines, or an engine and the model, that have no size in common.
    """
    leading = {str(spec.shape[0]) for spec in model.inputs if spec.shape}
    taken = _taken(model, engines)
    ranges = []
    for dim in model.dims:
        lower, upper = max(1, dim.lower), dim.upper
        for least, most in taken.get(dim.symbol, []):
            lower, upper = max(lower, least), most if upper is None else min(upper, most)
        if upper is not None and lower > upper:
            place = _place(model, dim.symbol)
            raise InputError(f"{place}: no size that the model and every engine take: {lower} is more than {upper}")
        is_batch = dim.symbol in leading
        example = max(lower, dim.example if upper is None else min(dim.example, upper))
        cap = max(LARGEST_BATCH if is_batch else longest, example)
        largest = min(2 * example + 1 if upper is None else upper, cap)
        ranges.append(SizeRange(dim.symbol, example, lower, max(largest, lower), upper, is_batch))
    return tuple(ranges)


def _place(model: Model, symbol: str) -> str:
    """The first input and axis of this size."""
    places = (
        f"{named('input', spec.name)} axis {axis}"
        for spec in model.inputs
        for axis, size in enumerate(spec.shape)
        if str(size) == symbol
    )
    return next(places, f"size {symbol}")


def _taken(model: Model, engines: Iterable[Profiles]) -> dict[str, list[tuple[int, int]]]:
    """Ranges of engines by symbol, where a symbol is a size itself and not part of a formula."""
    found: dict[str, list[tuple[int, int]]] = {}
    for profiles in engines:
        for spec in model.inputs:
            profile = profiles.get(spec.name)
            for axis, size in enumerate(spec.shape if profile is not None else ()):
                assert profile is not None
                found.setdefault(str(size), []).append((profile.minimum[axis], profile.maximum[axis]))
    return found
