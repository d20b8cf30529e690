"""The dynamic dims of a program: their ranges, and sizes at which the model's conditions on its inputs hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sympy
import torch
from torch.export import ExportedProgram

from attnexport.models.program import example_inputs, input_nodes, tensor_nodes
from attnexport.models.size_conditions import nearby, size_conditions

_TRIES = 4096
_FARTHEST = 2**31 - 1


@dataclass(frozen=True)
class DynamicDim:
    """A symbol that stands for a size.

    Attributes:
        symbol: torch's name for it, as ``s0``.
        example: its size in the example inputs.
        lower, upper: the declared range, upper None when unbounded.
    """

    symbol: str
    example: int
    lower: int
    upper: int | None


def dynamic_dims(program: ExportedProgram) -> tuple[DynamicDim, ...]:
    """The symbols that appear in the inputs' shapes."""
    found: dict[str, DynamicDim] = {}
    examples = _example_sizes(program)
    for size in _symbolic_sizes(program):
        for symbol in size.node.expr.free_symbols:
            bounds = program.range_constraints.get(symbol)
            hint = examples.get(symbol, size.node.shape_env.backed_var_to_val.get(symbol))
            lower = 0 if bounds is None else int(bounds.lower)
            upper = None
            if bounds is not None and bounds.upper.is_Integer and int(bounds.upper) < 2**31:
                upper = int(bounds.upper)
            found[str(symbol)] = DynamicDim(str(symbol), lower if hint is None else int(hint), lower, upper)
    return tuple(found.values())


def _symbolic_sizes(program: ExportedProgram) -> Iterator[torch.SymInt]:
    for node in tensor_nodes(program):
        yield from (size for size in node.meta["val"].shape if isinstance(size, torch.SymInt))


def _example_sizes(program: ExportedProgram) -> dict[sympy.Symbol, int]:
    """The symbols' sizes in the example inputs. Torch's own hints are lost in a file when a dim is a formula."""
    if program.example_inputs is None:
        return {}
    sizes: dict[sympy.Symbol, int] = {}
    for node, example in zip(tensor_nodes(program), example_inputs(program), strict=True):
        for size, real in zip(node.meta["val"].shape, example.shape, strict=True):
            expression = size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)
            if expression.is_Symbol:
                sizes[expression] = real
            elif len(expression.free_symbols) == 1:
                (symbol,) = expression.free_symbols
                slope = expression.diff(symbol)
                if slope.is_Integer:
                    sizes.setdefault(symbol, int((real - expression.subs(symbol, 0)) / slope))
    return sizes


def size_choices(program: ExportedProgram) -> list[dict[str, int]]:
    """Sizes per symbol: the example's and, where dims are dynamic, small ones (the lower bound, at least 1) and about
    twice the example's, moved to where the model's conditions on sizes hold."""
    dims = dynamic_dims(program)

    def small(dim: DynamicDim, position: int) -> int:
        size = max(1, dim.lower)
        return size if size != dim.example else min(size + 1 + position, dim.upper or size + 1 + position)

    def large(dim: DynamicDim, position: int) -> int:
        size = 2 * dim.example + 1 + position
        return size if dim.upper is None else min(size, dim.upper)

    choices = [{dim.symbol: dim.example for dim in dims}]
    if not dims:
        return choices
    hold = size_conditions(program)
    for choose in (small, large):
        wanted = {dim.symbol: choose(dim, position) for position, dim in enumerate(dims)}
        near = nearest_sizes(dims, wanted, lambda sizes: sizes not in choices and hold(shapes_at(program, sizes)))
        choices.append(near or wanted)
    return choices


def nearest_sizes(
    dims: Sequence[DynamicDim], wanted: Mapping[str, int], fit: Callable[[dict[str, int]], bool]
) -> dict[str, int] | None:
    """The sizes nearest to the wanted ones that fit.

    Args:
        dims: a model's dynamic dims.
        wanted: a size per symbol.
        fit: whether sizes do.

    Returns:
        A size per symbol, or None where none was found near.
    """
    ranges = [range(max(1, dim.lower), (dim.upper or _FARTHEST) + 1) for dim in dims]
    for moved in itertools.islice(nearby([wanted[dim.symbol] for dim in dims], ranges), _TRIES):
        sizes = {dim.symbol: size for dim, size in zip(dims, moved, strict=True)}
        if fit(sizes):
            return sizes
    return None


def shapes_at(program: ExportedProgram, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
    """The inputs' shapes when the symbols have these sizes."""
    shapes = []
    for node in input_nodes(program):
        value = node.meta["val"]
        shapes.append(
            tuple(
                size
                if isinstance(size, int)
                else int(size.node.expr.subs({s: sizes[str(s)] for s in size.node.expr.free_symbols}))
                for size in value.shape
            )
        )
    return shapes
