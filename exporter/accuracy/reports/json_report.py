"""A check's report as JSON, field by field: docs/report-formats.md has what each key means."""

from __future__ import annotations

from typing import Any

from attnexport.accuracy.check.findings import Build, Hazard, Repeatability
from attnexport.accuracy.check.results import CheckedModel, CheckReport, ContenderResult, DataKind, Times
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.errors.measures import Spread
from attnexport.accuracy.errors.scores import Metric, Predictions
from attnexport.accuracy.reports.finite import finite
from attnexport.accuracy.reports.json_errors import bisection_json, output_json, override_json

SCHEMA = "attnexport.check/1"


def as_json(report: CheckReport) -> dict[str, Any]:
    """The report in plain types; numbers that are not finite become strings: nan, inf, -inf."""
    written: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "model": _model(report.model),
            "contenders": [_contender(result) for result in report.contenders],
            "kinds": [_data_kind(kind) for kind in report.kinds],
            "batches": report.batches,
            "inputs_sha256": report.inputs_sha256,
            "times": _times(report.times),
            "environment": report.environment,
            "overrides": [override_json(override) for override in report.overrides],
            "hazards": [_hazard(hazard) for hazard in report.hazards],
            "notes": report.notes,
            "passed": report.passed,
            "judged": report.judged,
            "outcome": report.outcome,
        }
    )
    return written


def _model(model: CheckedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "sha256": model.sha256,
        "source_hash": model.source_hash,
        "precision": model.precision,
        "variants": model.variants,
        "layers": model.layers,
    }


def _contender(result: ContenderResult) -> dict[str, Any]:
    return {
        "facts": _facts(result.facts),
        "outputs": [output_json(output) for output in result.outputs],
        "failures": [_failure(failure) for failure in result.failures],
        "predictions": None if result.predictions is None else _predictions(result.predictions),
        "metrics": [_metric(metric) for metric in result.metrics],
        "repeatability": None if result.repeatability is None else _repeatability(result.repeatability),
        "builds": [_build(build) for build in result.builds],
        "bisection": None if result.bisection is None else bisection_json(result.bisection),
        "seconds": result.seconds,
        "notes": result.notes,
        "passed": result.passed,
        "judged": result.judged,
        "outcome": result.outcome,
        "share": result.share,
        "verdict": result.verdict,
    }


def _facts(facts: ContenderFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "runtime": facts.runtime,
        "precision": facts.precision,
        "precision_source": facts.precision_source,
        "path": facts.path,
        "sha256": facts.sha256,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "contender": failure.contender,
        "where": failure.where,
        "what": failure.what,
        "amount": failure.amount,
        "advice": failure.advice,
        "output": failure.output,
        "kind": failure.kind,
        "line": str(failure),
    }


def _predictions(found: Predictions) -> dict[str, Any]:
    return {
        "output": found.output,
        "compared": found.compared,
        "agreeing": found.agreeing,
        "labelled": found.labelled,
        "right_reference": found.right_reference,
        "right_contender": found.right_contender,
        "accuracy_contender": found.accuracy_contender,
        "accuracy_reference": found.accuracy_reference,
        "agreement": found.agreement,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "reference": metric.reference,
        "contender": metric.contender,
        "lower_is_better": metric.lower_is_better,
        "max_drop": metric.max_drop,
        "drop": metric.drop,
        "passed": metric.passed,
    }


def _repeatability(found: Repeatability) -> dict[str, Any]:
    return {
        "runs": found.runs,
        "spreads": [_spread(spread) for spread in found.spreads],
        "seconds": found.seconds,
        "bit_equal": found.bit_equal,
    }


def _build(build: Build) -> dict[str, Any]:
    return {
        "sha256": build.sha256,
        "build_seconds": build.build_seconds,
        "run_seconds": build.run_seconds,
        "spreads": [_spread(spread) for spread in build.spreads],
    }


def _spread(spread: Spread) -> dict[str, Any]:
    return {
        "output": spread.output,
        "largest": spread.largest,
        "differing": spread.differing,
        "elements": spread.elements,
    }


def _data_kind(kind: DataKind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.title,
        "batches": kind.batches,
        "shapes": kind.shapes,
        "left_out": kind.left_out,
    }


def _times(times: Times) -> dict[str, Any]:
    return {
        "reference": times.reference,
        "yardsticks": times.yardsticks,
        "total": times.total,
        "cached": times.cached,
    }


def _hazard(hazard: Hazard) -> dict[str, Any]:
    return {
        "layer": hazard.layer,
        "head": hazard.head,
        "name": hazard.name,
        "value": hazard.value,
        "limit": hazard.limit,
        "reached": hazard.reached,
        "meaning": hazard.meaning,
        "limit_meaning": hazard.limit_meaning,
    }
