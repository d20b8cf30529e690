"""What a program demands of its inputs' sizes beyond ranges: multiples, and sizes that follow from one another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

Shapes = Sequence[tuple[int, ...]]


def size_conditions(program: ExportedProgram) -> Callable[[Shapes], bool]:
    """Whether the program's own guards accept these shapes of its tensor inputs.

    A program of a torch that keeps no guards, or without example inputs, accepts everything.
    """
    guards = getattr(program.module(), "_guards_fn", None)
    if guards is None:
        return lambda shapes: True
    examples = pytree.tree_leaves(program.example_inputs)

    def hold(shapes: Shapes) -> bool:
        fresh = iter(shapes)
        leaves = [
            torch.empty(next(fresh), dtype=leaf.dtype, device="meta") if isinstance(leaf, torch.Tensor) else leaf
            for leaf in examples
        ]
        try:
            guards(*leaves)
        except (AssertionError, ZeroDivisionError):
            return False
        return True

    return hold


def nearby(start: Sequence[int], ranges: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Points within the ranges, from the start outwards."""
    reach = sum(max(abs(at - span.start), abs(at - span.stop)) for at, span in zip(start, ranges, strict=True))
    for distance in range(reach + 1):
        for steps in _splits(distance, len(start)):
            for point in itertools.product(*({at + step, at - step} for at, step in zip(start, steps, strict=True))):
                if all(size in span for size, span in zip(point, ranges, strict=True)):
                    yield point


def _splits(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to write total as so many numbers of 0 or more, in order."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _splits(total - first, parts - 1):
            yield (first, *rest)
