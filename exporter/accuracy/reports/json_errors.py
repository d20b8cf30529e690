"""Errors of outputs and of the layers inside a file, and what they are held to, as a check's JSON has them."""

from __future__ import annotations

from typing import Any

from attnexport.accuracy.check.budget import Budget
from attnexport.accuracy.check.findings import Bisection, LayerError
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.errors.measures import Histogram, KindErrors, OutputErrors, WorstExample


def output_json(output: OutputErrors) -> dict[str, Any]:
    """Errors of one output, kind by kind."""
    return {
        "name": output.name,
        "dtype": output.dtype,
        "kinds": [_kind(kind) for kind in output.kinds],
        "passed": output.passed,
        "is_yardstick": output.is_yardstick,
    }


def bisection_json(found: Bisection) -> dict[str, Any]:
    """Errors inside the file."""
    return {
        "layers": [_layer(layer) for layer in found.layers],
        "guilty": None if found.guilty is None else _layer(found.guilty),
        "notes": found.notes,
    }


def override_json(override: Override) -> dict[str, Any]:
    """An entry of the budget file."""
    return {
        "name": override.name,
        "reason": override.reason,
        "limit": override.limit,
        "factor": override.factor,
        "allowance": override.allowance,
    }


def _kind(errors: KindErrors) -> dict[str, Any]:
    return {
        "kind": errors.kind,
        "elements": errors.elements,
        "relative_l2": errors.relative_l2,
        "largest_error": errors.largest_error,
        "cosine": errors.cosine,
        "largest_reference": errors.largest_reference,
        "budget": None if errors.budget is None else _budget(errors.budget),
        "judged": errors.judged,
        "mismatches": errors.mismatches,
        "allowed_mismatches": errors.allowed_mismatches,
        "not_finite": errors.not_finite,
        "torch_not_finite": errors.torch_not_finite,
        "histogram": _histogram(errors.histogram),
        "worst": [_worst(example) for example in errors.worst],
        "is_yardstick": errors.is_yardstick,
        "passed": errors.passed,
        "share": errors.share,
    }


def _budget(budget: Budget) -> dict[str, Any]:
    return {
        "torch_error": budget.torch_error,
        "floor": budget.floor,
        "override": None if budget.override is None else override_json(budget.override),
        "rounding_error": budget.rounding_error,
        "torch_l2": budget.torch_l2,
        "rounding_l2": budget.rounding_l2,
        "largest_l2": budget.largest_l2,
        "limit": budget.limit,
    }


def _histogram(histogram: Histogram) -> dict[str, Any]:
    return {"edges": histogram.edges, "counts": histogram.counts, "exact": histogram.exact}


def _worst(example: WorstExample) -> dict[str, Any]:
    return {
        "batch": example.batch,
        "index": example.index,
        "reference": example.reference,
        "torch": example.torch,
        "given": example.given,
        "error": example.error,
    }


def _layer(layer: LayerError) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "op": layer.op,
        "tensor": layer.tensor,
        "largest_error": layer.largest_error,
        "relative_l2": layer.relative_l2,
        "budget": None if layer.budget is None else _budget(layer.budget),
        "not_finite": layer.not_finite,
        "wrong_shape": layer.wrong_shape,
        "passed": layer.passed,
        "share": layer.share,
    }
