"""A comparison as JSON: docs/report-formats.md has what each key means."""

from __future__ import annotations

from typing import Any

from attnexport.accuracy.comparing.comparison import Compared, ComparedContender, ComparedRun, Comparison, Figure
from attnexport.accuracy.reports.finite import finite

SCHEMA = "attnexport.compare/1"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison in plain types; numbers that are not finite become strings: nan, inf, -inf."""
    written: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "before": _run(comparison.before),
            "after": _run(comparison.after),
            "contenders": [_contender(contender) for contender in comparison.contenders],
            "hazards": [_compared(hazard) for hazard in comparison.hazards],
            "new": comparison.new,
            "gone": comparison.gone,
            "notes": comparison.notes,
            "passed": comparison.passed,
            "change": comparison.change,
        }
    )
    return written


def _run(run: ComparedRun) -> dict[str, Any]:
    return {"source": run.source, "model": run.model, "passed": run.passed}


def _contender(contender: ComparedContender) -> dict[str, Any]:
    return {
        "name": contender.name,
        "before_name": contender.before_name,
        "before": contender.before,
        "after": contender.after,
        "outputs": [_compared(figure) for figure in contender.outputs],
        "metrics": [_compared(figure) for figure in contender.metrics],
        "layers": [_compared(figure) for figure in contender.layers],
        "guilty_before": contender.guilty_before,
        "guilty_after": contender.guilty_after,
        "failures": contender.failures,
        "regressed": contender.regressed,
        "change": contender.change,
    }


def _compared(compared: Compared) -> dict[str, Any]:
    return {
        "name": compared.name,
        "before": _figure(compared.before),
        "after": _figure(compared.after),
        "regressed": compared.regressed,
        "change": compared.change,
    }


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {"value": figure.value, "passed": figure.passed, "judged": figure.judged}
