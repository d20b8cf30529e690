"""What was run as JSON, field by field: docs/report-formats.md has what each key means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnexport.engines.running import RunReport, Timing

SCHEMA = "attnexport.run/1"


def as_json(report: RunReport, *, model: Path, data: Path) -> dict[str, Any]:
    """The report in plain types, beside the file that ran and the .npz of its inputs."""
    return {
        "schema": SCHEMA,
        "model": str(model),
        "data": str(data),
        "ran_by": report.ran_by,
        "attention": report.attention,
        "precision": report.precision,
        "inputs": {name: list(shape) for name, shape in report.inputs.items()},
        "outputs": {name: list(shape) for name, shape in report.outputs.items()},
        "memory": dict(report.memory),
        "timing": None if report.timing is None else _timing(report.timing),
        "notes": list(report.notes),
    }


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "repeats": timing.repeats,
        "minimum": timing.minimum,
        "median": timing.median,
        "p99": timing.p99,
        "rows_per_second": timing.rows_per_second,
    }
