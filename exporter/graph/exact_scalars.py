"""Numbers of a float64 model that torch.onnx rounds to float32: put right where they are constants, named where not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import torch
import torch.utils._pytree as pytree
from torch.export import ExportedProgram

from attnexport.models.torch_graphs import all_graphs


def restore_scalars(model: ir.Model, program: ExportedProgram) -> list[str]:
    """Gives double constants all digits of the program's numbers; returns a note where attributes keep fewer.

    Args:
        model: of the exporter; its double constants of one element are changed.
        program: what it was translated from, decomposed.
    """
    exact = _rounded_numbers(program)
    if not exact:
        return []
    held = {*program.state_dict, *program.constants}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if name in held or tensor is None or tensor.dtype != ir.DataType.DOUBLE or tensor.size != 1:
            continue
        number = exact.get(float(tensor.numpy().item()))
        if number is not None:
            value.const_value = ir.tensor(np.full(tensor.shape.numpy(), number), name=name)
    attributes = sorted(set(_attributes(model, exact)))
    if not attributes:
        return []
    return [
        "ONNX holds attributes in float32, to which numbers of this float64 model were rounded: "
        + ", ".join(attributes)
    ]


def _rounded_numbers(program: ExportedProgram) -> dict[float, float]:
    """The program's numbers that float32 does not hold, by what it makes of them; without those that fall together."""
    found: dict[float, set[float]] = {}
    for number in _numbers(program):
        if abs(number) <= np.finfo(np.float32).max:
            found.setdefault(float(np.float32(number)), set()).add(number)
    return {
        rounded: number
        for rounded, numbers in found.items()
        if len(numbers) == 1 and (number := numbers.pop()) != rounded
    }


def _numbers(program: ExportedProgram) -> Iterator[float]:
    """Every finite number among the arguments of operators, if a value of the program is float64."""
    nodes = [node for graph in all_graphs(program.graph_module) for node in graph.nodes]
    values = (node.meta.get("val") for node in nodes)
    if any(isinstance(value, torch.Tensor) and value.dtype == torch.float64 for value in values):
        leaves = (leaf for node in nodes for leaf in pytree.tree_leaves((node.args, node.kwargs)))
        yield from (leaf for leaf in leaves if isinstance(leaf, float) and math.isfinite(leaf))


def _attributes(model: ir.Model, exact: dict[float, float]) -> Iterator[str]:
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.FLOAT and float(np.float32(attribute.as_float())) in exact:
                yield f"{attribute.name} of {node.op_type}"
