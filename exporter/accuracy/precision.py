"""Names of precisions, and which one a model or a contender has."""

from __future__ import annotations

import os
from collections import Counter

import onnx_ir as ir
import torch
from torch.export import ExportedProgram

from attnexport.errors import InputError
from attnexport.graph.inspection import read_model
from attnexport.models.program import input_specs, output_names

PRECISIONS = {"fp64": torch.float64, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_NAMES = {dtype: name for name, dtype in PRECISIONS.items()}
_ONNX = {
    ir.DataType.DOUBLE: "fp64",
    ir.DataType.FLOAT: "fp32",
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
}


def chosen_precisions(text: str) -> tuple[str, ...]:
    """The precisions that ``fp32,fp16`` names.

    Raises:
        InputError: a name that is none.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise InputError(f"--precisions: expected some of {', '.join(PRECISIONS)}, given {name!r}")
    return tuple(dict.fromkeys(names))


def own_precision(program: ExportedProgram) -> str:
    """What most floating numbers of a program's parameters are in; without any its inputs'; fp32 without both."""
    counts: Counter[str] = Counter()
    for _, parameter in program.named_parameters():
        if parameter.dtype in _NAMES:
            counts[_NAMES[parameter.dtype]] += parameter.numel()
    for spec in () if counts else input_specs(program):
        if spec.dtype in _NAMES:
            counts[_NAMES[spec.dtype]] += 1
    return counts.most_common(1)[0][0] if counts else "fp32"


def output_dtypes(program: ExportedProgram) -> dict[str, torch.dtype]:
    """Types of the output tensors by name."""
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    tensors = [nodes[name] for name in program.graph_signature.user_outputs if isinstance(name, str)]
    return {name: tensor.dtype for name, tensor in zip(output_names(program), tensors, strict=True)}


def onnx_precision(path: str | os.PathLike[str]) -> str | None:
    """What most floating numbers of an ONNX file's weights are in; None for a file without any.

    Raises:
        InputError: no file there, or not an ONNX model.
    """
    counts: Counter[str] = Counter()
    for value in read_model(path).graph.initializers.values():
        name = _ONNX.get(value.dtype) if value.dtype is not None else None
        if name is not None and value.shape is not None:
            counts[name] += _elements(value.shape)
    return counts.most_common(1)[0][0] if counts else None


def _elements(shape: ir.Shape) -> int:
    total = 1
    for size in shape:
        total *= size if isinstance(size, int) else 1
    return total
