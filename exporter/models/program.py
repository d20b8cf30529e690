"""What an ExportedProgram says of itself: its inputs and outputs, the variants that it calls, its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, OutputKind, TensorArgument

from attnexport.errors import ConversionError
from attnexport.files.arrays import dtype_name
from attnexport.models.torch_graphs import all_graphs
from attnexport.models.trees import Path, leaf_paths, unused
from attnexport.variants.registry import variant_of_torch_op
from attnexport.variants.spec import Variant

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
class OutputSpec:
    """A tensor output.

    Attributes:
        name: what it is called.
        node: the program's node that computes it.
    """

    name: str
    node: torch.fx.Node

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor."""
        dtype = self.node.meta["val"].dtype
        assert isinstance(dtype, torch.dtype)
        return dtype


def input_nodes(program: ExportedProgram) -> list[torch.fx.Node]:
    """The placeholders of a call's inputs, in order."""
    wanted = set(program.graph_signature.user_inputs)
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]


def tensor_nodes(program: ExportedProgram) -> list[torch.fx.Node]:
    """Those of the tensor inputs."""
    return [node for node in input_nodes(program) if isinstance(node.meta.get("val"), Tensor)]


def input_specs(program: ExportedProgram) -> tuple[TensorSpec, ...]:
    """The tensor inputs in order, by the names of forward's arguments where each of them is one tensor."""
    nodes = input_nodes(program)
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
    return tuple(node.meta[STATE] for node in input_nodes(program) if STATE in node.meta)


def next_state(name: str) -> str:
    """Name of the output that holds what the buffer of this name becomes."""
    return f"{name}_next"


def output_specs(program: ExportedProgram) -> tuple[OutputSpec, ...]:
    """The output tensors in order, by names that differ from each other's and from the inputs'.

    A tensor returned alone is ``output``; one of a dict or a dataclass has its key; one of a sequence has its position
    behind an underscore, as ``output_0`` and ``hidden_states_0``. None among the outputs has no name. What buffers
    become is called after them.

    Raises:
        ConversionError: an output that is neither a tensor nor None.
    """
    state = state_names(program)
    arguments = [spec.arg for spec in program.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    given, written = arguments[: len(arguments) - len(state)], arguments[len(arguments) - len(state) :]
    inputs = {spec.name for spec in input_specs(program)}
    nodes = {node.name: node for node in program.graph.nodes}
    found: dict[str, torch.fx.Node] = {}
    for path, argument in zip(_output_paths(program, len(given)), given, strict=True):
        name = _output_name(path, inputs)
        if isinstance(argument, TensorArgument):
            found[unused(name, {*inputs, *found})] = nodes[argument.name]
        elif not (isinstance(argument, ConstantArgument) and argument.value is None):
            kind = type(argument.value).__name__ if isinstance(argument, ConstantArgument) else "a symbolic number"
            place = name.removeprefix("output_")
            raise ConversionError(f"output {place}: expected a tensor, the model returns {kind}: return tensors only")
    found.update((next_state(name), nodes[argument.name]) for name, argument in zip(state, written, strict=True))
    return tuple(OutputSpec(name, node) for name, node in found.items())


def output_names(program: ExportedProgram) -> tuple[str, ...]:
    """Names of :func:`output_specs`."""
    return tuple(spec.name for spec in output_specs(program))


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


def module_paths(program: ExportedProgram) -> tuple[str, ...]:
    """Paths of the modules that compute something in a program, as ``blocks.3.attention``, in order."""
    paths = (module_path(node) for node in program.graph.nodes if node.op == "call_function")
    return tuple(dict.fromkeys(path for path in paths if path))


def layer_paths(program: ExportedProgram) -> tuple[str, ...]:
    """Paths of the modules that compute floating values in a program, in the order in which they end."""
    last = {}
    for position, node in enumerate(program.graph.nodes):
        value = node.meta.get("val")
        if node.op == "call_function" and isinstance(value, Tensor) and value.is_floating_point():
            last[module_path(node)] = position
    return tuple(path for path in sorted(last, key=lambda path: last[path]) if path)


def variants_of(program: ExportedProgram) -> tuple[Variant, ...]:
    """The variants that a program calls, without repetition, in order of first use."""
    found: dict[str, Variant] = {}
    for graph in all_graphs(program.graph_module):
        for node in graph.nodes:
            variant = variant_of_torch_op(node.target)
            if variant is not None:
                found.setdefault(variant.name, variant)
    return tuple(found.values())


def source_hash(program: ExportedProgram) -> str:
    """SHA-256 over the program's graph and parameters: the same model gives the same hash."""
    digest = hashlib.sha256()
    for name, module in program.graph_module.named_modules():
        if isinstance(module, torch.fx.GraphModule):
            digest.update(f"{name}:{module.code}".encode())
    for name, tensor in sorted({**program.state_dict, **program.constants}.items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()
