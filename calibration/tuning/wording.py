"""Sentences that the terminal and the page of tune share."""

from __future__ import annotations

from collections.abc import Iterator

from attnexport.accuracy.reports.wording import number
from attnexport.calibration.tuning.measuring import Bounds, Measured
from attnexport.calibration.tuning.result import Tuning
from attnexport.display.amounts import percent
from attnexport.messages import count

_COUNTED = ("accuracy", "top5")
"""Metrics that are shares of predictions."""


def bounds_text(bounds: Bounds, metrics: tuple[str, ...]) -> str:
    """What is to be held, as ``accuracy worse by at most 0.003 and an error of at most 0.02``."""
    parts = []
    if bounds.max_drop is not None:
        parts.append(f"{' and '.join(metrics)} worse by at most {bounds.max_drop:g}")
    if bounds.max_error is not None:
        parts.append(f"an error of at most {bounds.max_error:g}")
    return " and ".join(parts)


def resolution_lines(found: Tuning) -> Iterator[str]:
    """How fine each metric's drop can be told, a line each."""
    for name, values in found.values.items():
        if name not in _COUNTED:
            yield f"{name}: a mean of {count(values, 'value')} of {count(found.rows, 'row')}"
            continue
        step = 1 / values
        line = f"{name}: 1 of {count(values, 'prediction')} is {number(100 * step, 2)} points"
        if found.bounds.max_drop is not None and found.bounds.max_drop < step:
            line = f"{line}, more than what may be lost"
        yield line


def measured_text(measured: Measured) -> str:
    """What was measured, as ``accuracy worse by 0, error 2.0e-02``."""
    drops = [f"{metric.name} worse by {metric.drop:.3g}" for metric in measured.metrics]
    return ", ".join([*drops, f"error {measured.error:.2e}"])


def headline(found: Tuning) -> str:
    """What came out, in one sentence without a full stop."""
    held = bounds_text(found.bounds, tuple(found.values))
    if found.chosen is None:
        return f"no file with layers in {', '.join(found.candidates) or 'a candidate'} holds {held}"
    return f"{percent(found.quantized)} of the weights quantized; {measured_text(found.chosen.measured)}"


def effort(found: Tuning) -> str:
    """How many files ran."""
    known = f", {found.known:,} known from before" if found.known else ""
    return f"{count(found.runs, 'file')} on {count(found.rows, 'row')}{known}"


def drop_text(drop: float | None) -> str:
    """A drop, empty without metrics."""
    return "" if drop is None else f"{drop:.3g}"
