"""What an ExportedProgram says of its inputs and outputs: names, dtypes, shapes and dynamic dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, OutputKind, TensorArgument

from attnexport.errors import ConversionError

Size = int | str
"""A fixed size, or the expression of a dynamic one, as ``s0`` or ``2*s0``."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor input: its name, torch's name for it (a placeholder of the graph), dtype and shape."""

    name: str
    placeholder: str
    dtype: torch.dtype
    shape: tuple[Size, ...]

    def __str__(self) -> str:
        sizes = ", ".join(str(size) for size in self.shape)
        return f"({sizes}) {str(self.dtype).removeprefix('torch.')}"


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


def input_specs(program: ExportedProgram) -> tuple[TensorSpec, ...]:
    """The tensor inputs in order, by the names of forward's arguments where those are unambiguous."""
    nodes = _placeholders(program)
    signature = program.module_call_graph[0].signature
    names: Sequence[str] = [node.name for node in nodes]
    if signature is not None and signature.forward_arg_names is not None:
        given = list(signature.forward_arg_names)
        if len(given) == len(nodes):
            names = given
    return tuple(
        TensorSpec(
            name,
            node.name,
            node.meta["val"].dtype,
            tuple(size if isinstance(size, int) else str(size) for size in node.meta["val"].shape),
        )
        for name, node in zip(names, nodes, strict=True)
        if isinstance(node.meta.get("val"), Tensor)
    )


def output_names(program: ExportedProgram) -> tuple[str, ...]:
    """Names for the output tensors: ``output``, or ``output_0`` and so on, or the keys of a returned dict.

    None among the outputs has no name.

    Raises:
        ConversionError: an output that is neither a tensor nor None.
    """
    arguments = [spec.arg for spec in program.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    keys = [str(position) for position in range(len(arguments))]
    out_spec = program.call_spec.out_spec
    if out_spec is not None and out_spec.num_leaves == len(arguments):
        example = pytree.tree_unflatten(list(range(len(arguments))), out_spec)
        if isinstance(example, dict) and len(example) == len(arguments):
            keys = [str(key) for key in example]
    names = []
    for key, argument in zip(keys, arguments, strict=True):
        if isinstance(argument, TensorArgument):
            names.append(key)
        elif not (isinstance(argument, ConstantArgument) and argument.value is None):
            kind = type(argument.value).__name__ if isinstance(argument, ConstantArgument) else "a symbolic number"
            raise ConversionError(f"output {key}: expected a tensor, the model returns {kind}: return tensors only")
    if len(arguments) == 1 and names == ["0"]:
        return ("output",)
    taken = {spec.name for spec in input_specs(program)}
    return tuple(f"output_{name}" if name.isdecimal() or name in taken else name for name in names)


def module_path(node: torch.fx.Node) -> str:
    """Path of the module that made this node, as ``blocks.3.attention``; empty for the model itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path.removeprefix("L['self'].").lstrip(".")


def dynamic_dims(program: ExportedProgram) -> tuple[DynamicDim, ...]:
    """The symbols that appear in the inputs' shapes."""
    found: dict[str, DynamicDim] = {}
    for node in _placeholders(program):
        value = node.meta.get("val")
        for size in value.shape if isinstance(value, Tensor) else ():
            if isinstance(size, int):
                continue
            for symbol in size.node.expr.free_symbols:
                bounds = program.range_constraints.get(symbol)
                hint = size.node.shape_env.backed_var_to_val.get(symbol)
                lower = 0 if bounds is None else int(bounds.lower)
                upper = None
                if bounds is not None and bounds.upper.is_Integer and int(bounds.upper) < 2**31:
                    upper = int(bounds.upper)
                found[str(symbol)] = DynamicDim(str(symbol), lower if hint is None else int(hint), lower, upper)
    return tuple(found.values())


def size_choices(program: ExportedProgram) -> list[dict[str, int]]:
    """Sizes per symbol: the example's and, where dims are dynamic, small ones (the lower bound, at least 1) and about
    twice the example's."""
    dims = dynamic_dims(program)

    def small(dim: DynamicDim, position: int) -> int:
        size = max(1, dim.lower)
        return size if size != dim.example else min(size + 1 + position, dim.upper or size + 1 + position)

    def large(dim: DynamicDim, position: int) -> int:
        size = 2 * dim.example + 1 + position
        return size if dim.upper is None else min(size, dim.upper)

    choices = [{dim.symbol: dim.example for dim in dims}]
    if dims:
        choices += [
            {dim.symbol: choose(dim, position) for position, dim in enumerate(dims)} for choose in (small, large)
        ]
    return choices


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


def call_leaves(program: ExportedProgram, tensors: Sequence[Tensor]) -> list[Any]:
    """The flat inputs of a call: these tensors, and the constants the program was exported with between them."""
    if program.example_inputs is None:
        return list(tensors)
    fresh = iter(tensors)
    leaves = pytree.tree_leaves(program.example_inputs)
    return [next(fresh) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def run_program(program: ExportedProgram, module: nn.Module, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Output tensors of the program's module for its tensor inputs in order, without gradients."""
    leaves = call_leaves(program, tensors)
    args, kwargs = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    with torch.no_grad():
        outputs = pytree.tree_leaves(module(*args, **kwargs))
    return [value for value in outputs if isinstance(value, Tensor)]
