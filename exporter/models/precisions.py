"""Precisions as torch's dtypes, and which of them a program has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.precision_names import counted, held_precision
from attnexport.models.program import input_specs
from attnexport.models.torch_graphs import all_graphs
from attnexport.variants.registry import variant_of_torch_op

PRECISIONS = {"fp64": torch.float64, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in PRECISIONS.items()}


def own_precision(program: ExportedProgram) -> str:
    """The precision of a program by the rule of :func:`held_precision`."""
    weights = [*program.state_dict.values(), *program.constants.values()]
    return held_precision(
        _attention(program),
        counted((_NAMES.get(value.dtype), value.numel()) for value in weights if isinstance(value, Tensor)),
        counted((_NAMES.get(spec.dtype), 1) for spec in input_specs(program)),
    ).name


def _attention(program: ExportedProgram) -> set[str]:
    """What the calls of our operators give."""
    nodes = [node for graph in all_graphs(program.graph_module) for node in graph.nodes]
    values = [node.meta.get("val") for node in nodes if variant_of_torch_op(node.target) is not None]
    return {_NAMES[value.dtype] for value in values if isinstance(value, Tensor)}
