"""Carries a plan out on the graph of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from attnexport.calibration.layers import Layer
from attnexport.calibration.plans import Plan
from attnexport.calibration.ranges import Ranges
from attnexport.calibration.rewriting import Rounded, cast_layers, quantize_activations, quantize_weights
from attnexport.calibration.schemes import Scheme
from attnexport.errors import InputError, shortlist
from attnexport.graph.metadata import PREFIX
from attnexport.graph.placement import misplaced
from attnexport.messages import count, option

_OPSET_OF_HALF_SCALES = 19
"""The first whose Q/DQ nodes take float16 and bfloat16."""


def apply(
    path: Path,
    model: ir.Model,
    layers: Sequence[Layer],
    plan: Plan,
    ranges: Ranges | None,
    rounded: Mapping[str, Rounded] | None = None,
) -> None:
    """Rewrites the model so that its layers compute what the plan says.

    Args:
        path: of the model's file, for messages.
        model: rewritten in place.
        layers: of the model.
        plan: for them.
        ranges: of the file's activations; None for a plan that rounds none.
        rounded: weights by name that somebody else rounded as the plan says. Default: None, all are rounded here.

    Raises:
        InputError: a plan for layers that there are not, ranges without one that is needed, or a layer that did not
            become what it should.
    """
    _check_named(path, layers, plan)
    chosen = [(layer, plan.schemes[layer.name]) for layer in layers if layer.name in plan.schemes]
    for layer, scheme in chosen:
        _check_taken(path, layer, scheme)
    for activations in dict.fromkeys(scheme.activations for _, scheme in chosen):
        if activations is not None:
            assert ranges is not None
            group = [layer for layer, scheme in chosen if scheme.activations == activations]
            _check_ranges(path, group, ranges)
            quantize_activations(model, group, ranges.tensors, activations)
    for kind in dict.fromkeys(scheme.of_weights for _, scheme in chosen):
        group = [layer for layer, scheme in chosen if scheme.of_weights == kind]
        weights, block, by_output = kind
        quantize_weights(model, group, weights, block=block, by_output=by_output, rounded=rounded)
    for dtype in dict.fromkeys(plan.kept.values()):
        if dtype is not None:
            cast_layers(model, [layer for layer in layers if plan.kept.get(layer.name) == dtype], dtype)
    for layer, scheme in chosen:
        _check_quantized(path, layer, scheme)
    for node, operand in misplaced(model):
        raise InputError(
            f"{path}: node {node.name} ({node.op_type}): expected {operand} as it was, made Q/DQ before it"
        )
    if ranges is not None and plan.rounds_activations:
        model.metadata_props[f"{PREFIX}calibration"] = f"{ranges.method} of {count(ranges.samples, 'sample')}"


def check_opset(path: Path, model: ir.Model, scheme: Scheme, layers: Iterable[Layer]) -> None:
    """Refuses a file whose opset lacks the scheme's types, or scales of the type that its layers have.

    Raises:
        InputError: naming both opsets.
    """
    opset = model.opset_imports.get("", 0)
    half = next((layer for layer in layers if layer.weight.dtype != ir.DataType.FLOAT), None)
    least = scheme.opset if half is None else max(scheme.opset, _OPSET_OF_HALF_SCALES)
    if opset < least:
        of = "" if half is None else f" of a file whose layer {half.name} is {half.weight.dtype}"
        raise InputError(
            f"{path}: {scheme.name}{of} needs opset {least}, given {opset}: convert with {option('--opset', least)}"
        )


def _check_named(path: Path, layers: Sequence[Layer], plan: Plan) -> None:
    """Refuses a plan with a name that no layer has: it would stay as it is, unseen."""
    missing = sorted({*plan.schemes, *plan.kept} - {layer.name for layer in layers})
    if missing:
        raise InputError(f"{path}: expected layers that the plan names, found none called {shortlist(missing)}")


def _check_taken(path: Path, layer: Layer, scheme: Scheme) -> None:
    """Refuses a plan with a layer in a scheme that does not take it."""
    if not scheme.takes(layer):
        raise InputError(
            f"{path}: layer {layer.name}: {scheme.name} is for {' and '.join(scheme.operators)} that sum two numbers "
            f"or more, given {layer.node.op_type} with a weight of {layer.weight_shape}"
        )


def _check_ranges(path: Path, layers: Iterable[Layer], ranges: Ranges) -> None:
    """Refuses ranges without one for every layer's activation."""
    for layer in layers:
        if layer.activation.name not in ranges.tensors:
            raise InputError(
                f"{path}: layer {layer.name}: expected a range for tensor {layer.activation.name}, given none"
            )


def _check_quantized(path: Path, layer: Layer, scheme: Scheme) -> None:
    """Refuses a layer whose weight, or whose activation where the scheme rounds it, stayed as it was."""
    operands = 1 if scheme.activations is None else 2
    rounded = [value for value in layer.node.inputs[:2] if value is not None and _is_dequantized(value)]
    if len(rounded) != operands:
        raise InputError(
            f"{path}: layer {layer.name}: expected {count(operands, 'quantized operand')}, made {len(rounded)}"
        )


def _is_dequantized(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"
