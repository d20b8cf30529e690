"""Which tensors of an ONNX file are which values of the PyTorch program, written into the file at conversion.

torch.onnx decomposes a program before it translates it, and names the file's tensors after the decomposed nodes.
Every decomposed node keeps a trail back to the node that it came from; its last one computes that node's value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import onnx_ir as ir
import torch
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.graph.metadata import PREFIX

TORCH_VALUES = f"{PREFIX}torch_values"
"""Metadata of an ONNX node: for each output, separated by commas, the program's node of that value, or nothing."""


def torch_values(program: ExportedProgram, decomposed: ExportedProgram) -> dict[str, str]:
    """Names of the exporter's tensors, each with the program's node whose value it is."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor)}
    taken = {*decomposed.state_dict, *decomposed.constants}
    last: dict[str, str] = {}
    for node in decomposed.graph.nodes:
        origin = _origin(node)
        given, wanted = node.meta.get("val"), values.get(origin)
        if isinstance(given, Tensor) and wanted is not None and _alike(given, wanted):
            last[origin] = node.name
    return {name: origin for origin, name in last.items() if not _may_be_renamed(name, taken)}


def _may_be_renamed(name: str, taken: Collection[str]) -> bool:
    """Whether the exporter may have numbered tensors of this name anew, because a weight has it."""
    return name in taken or re.sub(r"_\d+$", "", name) in taken


def _origin(node: torch.fx.Node) -> str:
    """Name of the program's node that a decomposed node stems from, empty when it has no trail."""
    trail = node.meta.get("from_node")
    if not trail:
        return ""
    source = trail[-1]
    while source.from_node:
        source = source.from_node[-1]
    return str(source.name)


def _alike(given: Tensor, wanted: Tensor) -> bool:
    return given.dtype == wanted.dtype and [str(size) for size in given.shape] == [str(size) for size in wanted.shape]


def write_torch_values(model: ir.Model, names: Mapping[str, str]) -> None:
    """Notes at every node of the main graph which of the program's values its outputs are."""
    for node in model.graph:
        found = [names.get(value.name or "", "") for value in node.outputs]
        if any(found):
            node.metadata_props[TORCH_VALUES] = ",".join(found)


def read_torch_values(model: ir.Model) -> dict[str, str]:
    """The file's tensors in its order, each with the program's node of that value; empty for files without notes."""
    return {
        value.name: origin
        for node in model.graph
        for value, origin in zip(node.outputs, node.metadata_props.get(TORCH_VALUES, "").split(","), strict=False)
        if origin and value.name
    }
