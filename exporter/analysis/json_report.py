"""Head reports as JSON, field by field: docs/report-formats.md has what each key means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attnexport.analysis.heads import Figures, HeadReport
from attnexport.analysis.report import RULE_NOTE

SCHEMA = "attnexport.analyze/1"


def as_json(reports: Sequence[HeadReport], *, samples: int, distance: str, notes: Sequence[str] = ()) -> dict[str, Any]:
    """The reports in plain types; undefined figures are null.

    Args:
        reports: one a head.
        samples: how many were read.
        distance: euclidean or cosine.
        notes: what a user should know. Default: none.
    """
    return {
        "schema": SCHEMA,
        "samples": samples,
        "distance": distance,
        "note": RULE_NOTE,
        "notes": list(notes),
        "heads": [_head(report) for report in reports],
    }


def _head(report: HeadReport) -> dict[str, Any]:
    return {
        "layer": report.layer,
        "operator": report.operator,
        "head": report.head,
        "regime": report.regime,
        "sink": _or_none(report.sink),
        "local": _or_none(report.local),
        "entropy": _or_none(report.entropy),
        "output": _or_none(report.output),
        "selected": _by_size(report.selected),
        "random": _by_size(report.random),
    }


def _by_size(figures: Mapping[int, Figures]) -> dict[str, Any]:
    return {str(n): _figures(of_n) for n, of_n in figures.items()}


def _figures(figures: Figures) -> dict[str, float | None]:
    return {
        "precision": _or_none(figures.precision),
        "recall": _or_none(figures.recall),
        "f_score": _or_none(figures.f_score),
        "margin": _or_none(figures.margin),
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
