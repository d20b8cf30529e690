"""The file and the target's GPUs against TensorRT: opset, types, functions and compute capabilities."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.backends.building import Survey
from attnexport.engines.draft import Draft
from attnexport.errors import InputError
from attnexport.messages import option

_PRECISIONS = {
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
    ir.DataType.FLOAT8E4M3FN: "fp8",
    ir.DataType.FLOAT8E5M2: "fp8",
    ir.DataType.FLOAT4E2M1: "fp4",
}
_EIGHT_BIT_FLOATS = "fp8"


def check_file(draft: Draft) -> None:
    """Refuses an opset, a type or functions that the target's TensorRT does not take, and what it computes wrongly.

    Raises:
        InputError: naming the file.
    """
    _check_opset(draft)
    _check_types(draft)
    _check_functions(draft)
    _check_misread(draft)


def check_capabilities(draft: Draft, survey: Survey) -> None:
    """Refuses a target that the TensorRT at hand does not build for ahead of time.

    Raises:
        InputError: naming the target.
    """
    if survey.capabilities and not set(draft.target.sms) <= set(survey.capabilities):
        wanted, given = (" ".join(map(str, sms)) for sms in (draft.target.sms, survey.capabilities))
        raise InputError(
            f"{option('--target')}: {draft.target.name} is SM {wanted}, {draft.limits.product} builds ahead of time "
            f"for {given}"
        )


def _check_opset(draft: Draft) -> None:
    opset = draft.model.opset_imports.get("", 0)
    options = _options(draft, option("--opset", draft.limits.opset))
    if opset > draft.limits.opset:
        four_bits = any(value.dtype == ir.DataType.INT4 for value in draft.model.graph.initializers.values())
        ways = f"convert the model with {options}"
        if four_bits:
            ways += f", and quantize it with {option('--to', 'int8-weights')}: int4 came with opset 21"
        raise InputError(
            f"{draft.path}: opset {opset}: expected {draft.limits.opset} or lower for target {draft.target.name} "
            f"({draft.limits.product}): {ways}"
        )


def _check_misread(draft: Draft) -> None:
    """TensorRT 8.x takes these without a word and computes something else (see attnexport.graph.tensorrt8)."""
    if draft.target.is_rtx or draft.limits.release >= (10, 0):
        return
    options = _options(draft, option("--opset", draft.limits.opset))
    misread = {"Shape": {"start", "end"}, "Constant": {"value_int", "value_ints"}}
    for node in ir.traversal.RecursiveGraphIterator(draft.model.graph):
        given = misread.get(node.op_type, set()) & set(node.attributes)
        if node.domain in ("", "ai.onnx") and given:
            raise InputError(
                f"{draft.path}: node {node.name} ({node.op_type}): {draft.limits.product} passes over its "
                f"{' and '.join(sorted(given))}: convert the model with {options}"
            )


def _check_types(draft: Draft) -> None:
    allowed = draft.limits.precisions
    if draft.precision not in allowed:
        raise InputError(
            f"precision {draft.precision}: expected one of {', '.join(allowed)} for target {draft.target.name} "
            f"({draft.limits.product})"
        )
    values = [*draft.model.graph.inputs, *draft.model.graph.initializers.values()]
    values += [value for node in ir.traversal.RecursiveGraphIterator(draft.model.graph) for value in node.outputs]
    for value in values:
        name = _PRECISIONS.get(value.dtype) if value.dtype is not None else None
        if name is not None and name not in allowed:
            advice = f": quantize with {option('--to', 'int8')}" if name == _EIGHT_BIT_FLOATS else ""
            raise InputError(
                f"{draft.path}: tensor {value.name} is {name}: expected types of {', '.join(allowed)} for target "
                f"{draft.target.name} ({draft.limits.product}){advice}"
            )


def _check_functions(draft: Draft) -> None:
    """TensorRT 8.x passes functions over, so that what is no plugin there has nothing to run."""
    if draft.limits.local_functions or draft.library is not None or not draft.attention_nodes:
        return
    node, _ = draft.attention_nodes[0]
    raise InputError(
        f"{draft.path}: node {node.name} ({node.op_type}) has its body in a function, and {draft.limits.product} knows "
        f"none: convert the model with {_options(draft, option('--nodes', 'body'))}, or give the plugin "
        f"library, {option('--plugins', 'LIB')}"
    )


def _options(draft: Draft, otherwise: str) -> str:
    """Options of convert: the target, or what stands for it where an older TensorRT than the target's builds."""
    return option("--target", draft.target.name) if draft.limits.opset >= draft.target.opset else otherwise
