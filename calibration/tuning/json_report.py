"""What tune found as JSON, field by field: docs/report-formats.md has what each key means."""

from __future__ import annotations

from typing import Any

from attnexport.accuracy.reports.finite import finite
from attnexport.calibration.tuning.measuring import Measured
from attnexport.calibration.tuning.result import MeasuredPlan, TunedLayer, Tuning

SCHEMA = "attnexport.tune/1"


def as_json(found: Tuning) -> dict[str, Any]:
    """The report in plain types; numbers that are not finite become strings: nan, inf, -inf."""
    ranges = found.ranges
    written: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "model": found.model,
            "model_sha256": found.model_sha256,
            "data_sha256": found.data_sha256,
            "rows": found.rows,
            "rows_alone": found.rows_alone,
            "values": found.values,
            "bounds": {"max_drop": found.bounds.max_drop, "max_error": found.bounds.max_error},
            "candidates": found.candidates,
            "cost": found.cost,
            "ranges": None if ranges is None else {"method": ranges.method, "samples": ranges.samples},
            "layers": [_layer(layer) for layer in found.layers],
            "plans": [_plan(plan, found) for plan in found.plans],
            "chosen": None if found.chosen is None else _plan(found.chosen, found),
            "path": None if found.path is None else str(found.path),
            "sha256": found.sha256 or None,
            "quantized": found.quantized,
            "timing": found.timing,
            "runs": found.runs,
            "known": found.known,
            "notes": found.notes,
            "passed": found.passed,
        }
    )
    return written


def _layer(layer: TunedLayer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "parameters": layer.parameters,
        "candidate": layer.candidate or None,
        "alone": {name: _measured(measured) for name, measured in layer.alone.items()},
    }


def _plan(plan: MeasuredPlan, found: Tuning) -> dict[str, Any]:
    """With its layers where it is worth taking: on the front, or chosen."""
    names = [layer.name for layer in found.layers]
    told = plan.on_front or plan == found.chosen
    return {
        "title": plan.title,
        "weight_bytes": plan.weight_bytes,
        **_measured(plan.measured),
        "holds": plan.holds,
        "on_front": plan.on_front,
        "milliseconds": plan.milliseconds,
        "rejected": plan.rejected or None,
        "layers": dict(zip(names, plan.candidates, strict=True)) if told else None,
    }


def _measured(measured: Measured) -> dict[str, Any]:
    metrics = {
        metric.name: {"floating": metric.reference, "value": metric.contender, "drop": metric.drop}
        for metric in measured.metrics
    }
    return {"error": measured.error, "metrics": metrics}
