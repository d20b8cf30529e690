"""Every attention node against the kernels of the library: sizes, types and options."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.engines.draft import Draft
from attnexport.errors import InputError
from attnexport.plugins.calling.interface import Dtype
from attnexport.plugins.calling.operators import Array, Call, Op, OperatorError

_DTYPES = {"fp32": Dtype.FLOAT32, "fp16": Dtype.FLOAT16, "bf16": Dtype.BFLOAT16}


def check_kernels(draft: Draft) -> None:
    """Asks the library whether it has a kernel for every attention node at its largest shapes, which TensorRT would
    find out only by a plugin that refuses to be configured. Nodes of unknown sizes are left to TensorRT.

    Raises:
        InputError: naming the node and what the library was built for.
    """
    if draft.library is None:
        return
    for node, _ in draft.attention_nodes:
        op = draft.library.ops.get(node.op_type)
        if op is not None:
            _check_type(draft, node, op)
            _check_sizes(draft, node, op)


def _check_type(draft: Draft, node: ir.Node, op: Op) -> None:
    precision = draft.precision_at(node)
    wanted = _DTYPES.get(precision)
    if wanted not in op.dtypes:
        name = precision if wanted is None else wanted.name.lower()
        given = ", ".join(dtype.name.lower() for dtype in op.dtypes)
        raise _refusal(
            draft, node, f"expected kernels of {name}", f"kernels of {given}", "attnexport plugins build without --for"
        )


def _check_sizes(draft: Draft, node: ir.Node, op: Op) -> None:
    dtype = _DTYPES[draft.precision_at(node)]
    arrays = [_largest(draft, value, dtype) for value in node.inputs]
    known = [array for array in arrays if array is not None]
    if len(known) != len(arrays):
        return
    attributes = {attribute.name: attribute.value for attribute in node.attributes.values()}
    try:
        op.workspace(Call(known, attributes))
    except OperatorError:
        assert draft.library is not None
        width = draft.library.info.max_width
        given = "other sizes or options" if width is None else f"widths to {width}, or other options"
        advice = "attnexport plugins build without --for or with --for this model"
        raise _refusal(draft, node, f"expected a kernel for {', '.join(map(str, known))}", given, advice) from None


def _refusal(draft: Draft, node: ir.Node, wanted: str, given: str, advice: str) -> InputError:
    assert draft.library is not None
    where = f"{draft.path}: node {node.name} ({node.op_type})"
    return InputError(f"{where}: {wanted}, {draft.library.path} has {given}: build it again, {advice}")


def _largest(draft: Draft, value: ir.Value | None, dtype: Dtype) -> Array | None:
    """An input of a node of this floating type at the largest shapes; None where its sizes are not known."""
    if value is None or value.shape is None:
        return None
    largest = draft.largest_sizes
    sizes = [size if isinstance(size, int) else largest.get(size.value or "") for size in value.shape]
    known = tuple(size for size in sizes if size is not None)
    is_length = value.dtype == ir.DataType.INT32
    return Array(0, Dtype.INT32 if is_length else dtype, known) if len(known) == len(sizes) else None
