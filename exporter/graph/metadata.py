"""What the file says about itself, and what it must not say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from attnexport.graph.attention_nodes import attention_nodes
from attnexport.version import __version__

if TYPE_CHECKING:
    from attnexport.models.model import Model

PREFIX = "attnexport."
_RANGE = re.compile(r"(\w+)=(\d{1,9})\.\.(\d{1,9})?")


def write_metadata(file: ir.Model, model: Model) -> None:
    """Writes the versions, the variants and the source hash into the file's metadata_props."""
    import torch

    counts = Counter(node.op_type for node in attention_nodes(file.graph))
    file.metadata_props.update(
        {
            f"{PREFIX}version": __version__,
            f"{PREFIX}torch_version": torch.__version__,
            f"{PREFIX}variants": ",".join(f"{name}:{count}" for name, count in sorted(counts.items())),
            f"{PREFIX}source_hash": model.source_hash,
            **{f"{PREFIX}{key}": text for key, text in model.descriptions.items()},
        }
    )
    file.producer_name, file.producer_version = "attnexport", __version__


def write_dim_ranges(file: ir.Model, model: Model) -> None:
    """Writes the declared ranges of the dynamic dims into metadata_props, as ``batch=1.. tokens=2..512``."""
    dims = {model.symbols.get(dim.symbol, dim.symbol): dim for dim in model.dims}
    if dims:
        texts = (f"{name}={max(1, dim.lower)}..{dim.upper or ''}" for name, dim in sorted(dims.items()))
        file.metadata_props[f"{PREFIX}dims"] = " ".join(texts)


def dim_ranges(model: ir.Model) -> dict[str, tuple[int, int | None]]:
    """The ranges of the dynamic dims by name, as far as the file says them; None where there is no upper bound."""
    found = _RANGE.findall(model.metadata_props.get(f"{PREFIX}dims", ""))
    return {name: (int(lower), int(upper) if upper else None) for name, lower, upper in found}


def strip_traces(model: ir.Model) -> None:
    """Keeps each node's module path and drops the stack traces, which name files of the exporting machine."""
    holders: Iterable[ir.Node | ir.Value | ir.Graph] = [
        model.graph,
        *model.graph.inputs,
        *ir.traversal.RecursiveGraphIterator(model.graph),
    ]
    for holder in holders:
        for key in [key for key in holder.metadata_props if "stack_trace" in key or "fx_node" in key]:
            del holder.metadata_props[key]
        if isinstance(holder, ir.Node):
            for value in holder.outputs:
                value.metadata_props.pop("pkg.torch.onnx.stack_trace", None)


def sort_attributes(model: ir.Model) -> None:
    """Puts the attributes of our nodes in one order, so that equal models are equal files."""
    for node in attention_nodes(model.graph):
        ordered = sorted(node.attributes.values(), key=lambda attribute: attribute.name)
        node.attributes.clear()
        node.attributes.update({attribute.name: attribute for attribute in ordered})


def rename_dims(model: ir.Model, names: Mapping[str, str]) -> None:
    """Gives symbolic dims their declared names, inside expressions too (``2*s0`` to ``2*batch``); numbers are sizes."""
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, names)) + r")\b")

    def renamed(dim: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
        if isinstance(dim, int) or dim.value is None:
            return dim
        if dim.value.isdecimal():
            return int(dim.value)
        return ir.SymbolicDim(pattern.sub(lambda match: names.get(match.group(), match.group()), dim.value))

    values = {value for node in ir.traversal.RecursiveGraphIterator(model.graph) for value in node.outputs}
    for value in (*model.graph.inputs, *values):
        if value.shape is not None:
            value.shape = ir.Shape([renamed(dim) for dim in value.shape])
