"""What an ExportedProgram says of its inputs and outputs: names, dtypes, shapes and dynamic dims."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, OutputKind, TensorArgument

from attnexport.errors import ConversionError
from attnexport.files.arrays import dtype_name
from attnexport.models.size_conditions import nearby, size_conditions
from attnexport.models.trees import Path, leaf_paths, unused

_TRIES = 4096
_FARTHEST = 2**31 - 1

STATE = "attnexport_state"
"""Meta of the placeholder of an input that is a buffer of the model: the buffer's name."""

Size = int | str
"""A fixed size, or the expression of a dynamic one, as ``s0`` or ``2*s0``."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor input.

    Attributes:
        name: what it is called.
        placeholder: torch's name for it, that of a placeholder of the graph.
        dtype, shape: of the tensor.
        is_state: whether it is a buffer of the model, which one call hands to the next.
    """

    name: str
    placeholder: str
    dtype: torch.dtype
    shape: tuple[Size, ...]
    is_state: bool = False

    def __str__(self) -> str:
        sizes = ", ".join(str(size) for size in self.shape)
        return f"({sizes}) {dtype_name(self.dtype)}"


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


def _placeholders(program: ExportedProgram) -> list[torch.fx.Node]:
    wanted = set(program.graph_signature.user_inputs)
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]


def _tensor_placeholders(program: ExportedProgram) -> list[torch.fx.Node]:
    return [node for node in _placeholders(program) if isinstance(node.meta.get("val"), Tensor)]


def input_specs(program: ExportedProgram) -> tuple[TensorSpec, ...]:
    """The tensor inputs in order, by the names of forward's arguments where each of them is one tensor."""
    nodes = _placeholders(program)
    names = _argument_names(program)
    if names is None or len(names) != len(nodes):
        names = [node.name for node in nodes]
    return tuple(
        TensorSpec(
            node.meta.get(STATE, name),
            node.name,
            node.meta["val"].dtype,
            tuple(map(_size, node.meta["val"].shape)),
            STATE in node.meta,
        )
        for name, node in zip(names, nodes, strict=True)
        if isinstance(node.meta.get("val"), Tensor)
    )


def _size(size: int | torch.SymInt) -> Size:
    """A size that the model's code fixed while it was traced is an expression without symbols."""
    if isinstance(size, int):
        return size
    return int(size.node.expr) if size.node.expr.is_Integer else str(size)


def _argument_names(program: ExportedProgram) -> list[str] | None:
    """Of forward's arguments; None when one of them is a container."""
    signature = program.module_call_graph[0].signature
    if signature is None or signature.forward_arg_names is None:
        return None
    arguments = [argument for group in signature.in_spec.children() for argument in group.children()]
    return list(signature.forward_arg_names) if all(argument.type is None for argument in arguments) else None


def state_names(program: ExportedProgram) -> tuple[str, ...]:
    """Names of the inputs that are buffers of the model; they are the last inputs, and what they become the last
    outputs, in the same order."""
    return tuple(node.meta[STATE] for node in _placeholders(program) if STATE in node.meta)


def next_state(name: str) -> str:
    """Name of the output that holds what the buffer of this name becomes."""
    return f"{name}_next"


def output_names(program: ExportedProgram) -> tuple[str, ...]:
    """Names for the output tensors, different from each other and from the inputs'.

    A tensor returned alone is ``output``; one of a dict or a dataclass has its key; one of a sequence has its position
    behind an underscore, as ``output_0`` and ``hidden_states_0``. None among the outputs has no name. What buffers
    become is called after them.

    Raises:
        ConversionError: an output that is neither a tensor nor None.
    """
    state = state_names(program)
    arguments = [spec.arg for spec in program.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    arguments = arguments[: len(arguments) - len(state)]
    inputs = {spec.name for spec in input_specs(program)}
    names: list[str] = []
    for path, argument in zip(_output_paths(program, len(arguments)), arguments, strict=True):
        name = _output_name(path, inputs)
        if isinstance(argument, TensorArgument):
            names.append(unused(name, {*inputs, *names}))
        elif not (isinstance(argument, ConstantArgument) and argument.value is None):
            kind = type(argument.value).__name__ if isinstance(argument, ConstantArgument) else "a symbolic number"
            place = name.removeprefix("output_")
            raise ConversionError(f"output {place}: expected a tensor, the model returns {kind}: return tensors only")
    return (*names, *map(next_state, state))


def _output_paths(program: ExportedProgram, count: int) -> list[Path]:
    """Where each of the outputs is in what forward returns; buffers are behind that."""
    spec = program.call_spec.out_spec
    if spec is not None and state_names(program):
        spec = spec.children()[0]
    if spec is None or spec.num_leaves != count:
        return [(position,) for position in range(count)]
    paths = leaf_paths(spec)
    return [()] if paths == [(0,)] else paths


def _output_name(path: Path, inputs: Collection[str]) -> str:
    name = "_".join(str(key) for key in path if key != "")
    if not name:
        return "output"
    return f"output_{name}" if name[0].isdecimal() or name in inputs else name


def module_path(node: torch.fx.Node) -> str:
    """Path of the module that made this node, as ``blocks.3.attention``; empty for the model itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path.removeprefix("L['self'].").lstrip(".")


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
    for node in _tensor_placeholders(program):
        yield from (size for size in node.meta["val"].shape if isinstance(size, torch.SymInt))


def _example_sizes(program: ExportedProgram) -> dict[sympy.Symbol, int]:
    """The symbols' sizes in the example inputs. Torch's own hints are lost in a file when a dim is a formula."""
    if program.example_inputs is None:
        return {}
    sizes: dict[sympy.Symbol, int] = {}
    for node, example in zip(_tensor_placeholders(program), example_inputs(program), strict=True):
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
    for choose in (small, large) if dims else ():
        wanted = {dim.symbol: choose(dim, position) for position, dim in enumerate(dims)}
        choices.append(nearest_sizes(program, dims, wanted, choices) or wanted)
    return choices


def nearest_sizes(
    program: ExportedProgram, dims: Sequence[DynamicDim], wanted: Mapping[str, int], used: Sequence[Mapping[str, int]]
) -> dict[str, int] | None:
    """The sizes nearest to the wanted ones at which the model's conditions on its inputs' sizes hold.

    Args:
        program: the model.
        dims: its dynamic dims.
        wanted: a size per symbol.
        used: sizes that are not chosen again.

    Returns:
        A size per symbol, or None where none was found near.
    """
    holds = size_conditions(program)
    ranges = [range(max(1, dim.lower), (dim.upper or _FARTHEST) + 1) for dim in dims]
    for moved in itertools.islice(nearby([wanted[dim.symbol] for dim in dims], ranges), _TRIES):
        sizes = {dim.symbol: size for dim, size in zip(dims, moved, strict=True)}
        if sizes not in used and holds(shapes_at(program, sizes)):
            return sizes
    return None


def shapes_at(program: ExportedProgram, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
    """The inputs' shapes when the symbols have these sizes."""
    shapes = []
    for node in _placeholders(program):
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


def example_inputs(program: ExportedProgram) -> list[Tensor]:
    """The tensors the program was exported with, in input order.

    Raises:
        ValueError: the program carries no examples.
    """
    if program.example_inputs is None:
        raise ValueError("the program carries no example inputs")
    args, kwargs = program.example_inputs
    leaves = pytree.tree_leaves((args, kwargs))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def initial_state(program: ExportedProgram) -> dict[str, Tensor]:
    """By name of the input, what the buffers that are inputs hold before the first call."""
    names = state_names(program)
    return dict(zip(names, example_inputs(program)[-len(names) :], strict=True)) if names else {}


def call_leaves(program: ExportedProgram, tensors: Sequence[Tensor]) -> list[Any]:
    """The flat inputs of a call: these tensors, and the constants the program was exported with between them."""
    if program.example_inputs is None:
        return list(tensors)
    fresh = iter(tensors)
    leaves = pytree.tree_leaves(program.example_inputs)
    return [next(fresh) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
