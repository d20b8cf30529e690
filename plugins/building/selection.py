"""What a library instantiates: everything, or what given ONNX files use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnexport.errors import InputError
from attnexport.messages import option

if TYPE_CHECKING:
    import onnx_ir as ir

    from attnexport.variants.spec import Variant

DTYPES = ("float32", "float16", "bfloat16")
MAX_WIDTH = 256
"""Largest head width that any kernel covers."""

_ONNX_DTYPES = {"FLOAT": "float32", "FLOAT16": "float16", "BFLOAT16": "bfloat16"}


@dataclass(frozen=True)
class Selection:
    """What to instantiate.

    Attributes:
        kernels: names of kernel files.
        dtypes: floating types, of DTYPES.
        max_width: largest head width.
        top_k: whether rows may keep only their largest weights.
        notes: what was found and has no kernel, a line each.
    """

    kernels: tuple[str, ...]
    dtypes: tuple[str, ...] = DTYPES
    max_width: int = MAX_WIDTH
    top_k: bool = True
    notes: tuple[str, ...] = ()

    @property
    def defines(self) -> list[str]:
        """The macros of instantiations.h as compiler options."""
        types = [f"-DATTNEXPORT_WITH_{dtype.upper()}={int(dtype in self.dtypes)}" for dtype in DTYPES]
        return [*types, f"-DATTNEXPORT_MAX_WIDTH={self.max_width}", f"-DATTNEXPORT_WITH_TOP_K={int(self.top_k)}"]


def select_for(models: Sequence[Path], available: Sequence[str]) -> Selection:
    """What the nodes of these ONNX files need, at their own precision and, for a float32 file, in float16 too.

    Args:
        models: ONNX files.
        available: names of the kernel files there are.

    Raises:
        InputError: no such file, none of our nodes in it, or none that a kernel covers.
    """
    found = [(path, node, variant) for path in models for node, variant in _attention_nodes(path)]
    nodes = [(node, variant) for _, node, variant in found if variant.name in available]
    missing = {
        node.op_type: f"{path} uses {node.op_type}, which has no kernel; its body runs instead"
        for path, node, variant in found
        if variant.name not in available
    }
    if not nodes:
        given = f"given {', '.join(sorted(missing))} alone"
        raise InputError(f"{option('--for')}: expected operators that have kernels, {given}")
    dtypes = set().union(*(_dtypes(node) for node, _ in nodes))
    if not dtypes:
        raise InputError(f"{option('--for')}: expected nodes of type {', '.join(DTYPES)}, given float64 alone")
    if "float32" in dtypes:
        dtypes.add("float16")
    return Selection(
        kernels=tuple(sorted({variant.name for _, variant in nodes})),
        dtypes=tuple(dtype for dtype in DTYPES if dtype in dtypes),
        max_width=min(MAX_WIDTH, max(_width(node) for node, _ in nodes)),
        top_k=any(_selects(node, variant) for node, variant in nodes),
        notes=tuple(missing.values()),
    )


def _attention_nodes(path: Path) -> Sequence[tuple[ir.Node, Variant]]:
    from attnexport.graph.inspection import read_model
    from attnexport.graph.nodes import variant_nodes

    found = variant_nodes(read_model(path).graph)
    if not found:
        raise InputError(f"{option('--for')}: expected nodes of attnexport in {path}, given a model without any")
    return found


def _dtypes(node: ir.Node) -> set[str]:
    """The kernels' type for the node; every type where the file does not say, none for float64."""
    names = {value.dtype.name for value in node.inputs if value is not None and value.dtype is not None}
    if not names & {*_ONNX_DTYPES, "DOUBLE"}:
        return set(DTYPES)
    return {_ONNX_DTYPES[name] for name in names if name in _ONNX_DTYPES}


def _width(node: ir.Node) -> int:
    """Largest width among the node's (batch, heads, tokens, width) inputs, MAX_WIDTH where one is not known."""
    if any(value is not None and value.shape is None for value in node.inputs):
        return MAX_WIDTH
    shapes = [value.shape for value in node.inputs if value is not None and value.shape is not None]
    widths = [shape[3] for shape in shapes if len(shape) == 4]
    known = [width for width in widths if isinstance(width, int)]
    return max(known) if widths and len(known) == len(widths) else MAX_WIDTH


def _selects(node: ir.Node, variant: Variant) -> bool:
    """Whether rows keep only their largest weights."""
    if variant.selection is None or variant.selection not in node.attributes:
        return False
    return int(node.attributes[variant.selection].value) > 0
