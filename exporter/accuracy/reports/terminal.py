"""A check's report as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from attnexport.accuracy.check.findings import Bisection, Repeatability
from attnexport.accuracy.check.results import YARDSTICK, CheckReport, ContenderResult
from attnexport.accuracy.errors.measures import OutputErrors
from attnexport.accuracy.errors.scores import Predictions
from attnexport.accuracy.reports.wording import angle, around, layer_name, used
from attnexport.display.columns import Cell, Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.terminal import Style
from attnexport.messages import count

LONGEST = 30
"""Tensors inside a file that a terminal shows; reports in HTML and JSON have all of them."""

_OUTPUTS = (
    Column("output", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("dtype", Kind.NAME, Importance.FOR_WIDE_TERMINALS),
    Column("worst inputs", Kind.NAME, Importance.SOME),
    Column("largest error", Kind.NUMBER, Importance.MUCH),
    Column("allowed", Kind.NUMBER, Importance.MUCH),
    Column("of the budget", Kind.NUMBER, Importance.MUCH),
    Column("PyTorch's own", Kind.NUMBER, Importance.LITTLE),
    Column("relative L2", Kind.NUMBER, Importance.LITTLE),
    Column("1−cosine", Kind.NUMBER, Importance.FOR_WIDE_TERMINALS),
    Column("verdict", Kind.NAME, Importance.MUCH),
)
_LAYERS = (
    Column("layer", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("operator", Kind.NAME, Importance.LITTLE),
    Column("tensor", Kind.NAME, Importance.LITTLE),
    Column("largest error", Kind.NUMBER, Importance.MUCH),
    Column("allowed", Kind.NUMBER, Importance.MUCH),
    Column("PyTorch's own", Kind.NUMBER, Importance.FOR_WIDE_TERMINALS),
    Column("relative L2", Kind.NUMBER, Importance.FOR_WIDE_TERMINALS),
    Column("verdict", Kind.NAME, Importance.MUCH),
)
_WITHIN, _OUTSIDE = Cell("within", Style.GOOD), Cell("OUTSIDE", Style.BAD)


def contender_table(result: ContenderResult) -> Table:
    """Errors per output against the float64 reference, each of the kind of inputs that uses most of its budget."""
    facts = result.facts
    held = "the yardstick of" if result.outcome == YARDSTICK else "held to PyTorch at"
    title = f"{facts.name}: {facts.runtime}, {held} {facts.precision} ({facts.precision_source})"
    shown = Table(title, _OUTPUTS)
    for output in result.outputs:
        shown.add(*_row(output), _verdict(output))
    return shown


def _verdict(output: OutputErrors) -> Cell:
    if not output.passed:
        return _OUTSIDE
    return Cell("yardstick") if output.is_yardstick else _WITHIN


def _row(output: OutputErrors) -> list[str]:
    worst = output.worst_kind
    row, share = [output.name, output.dtype, worst.kind], used(worst)
    if worst.budget is None:
        return [*row, f"{worst.mismatches} differ", f"{worst.allowed_mismatches} differ", share, "", "", ""]
    error = f"{worst.not_finite} not finite" if worst.not_finite else f"{worst.largest_error:.2e}"
    limit, own = f"{worst.budget.limit:.2e}", f"{worst.budget.torch_error:.2e}"
    return [*row, error, limit, share, own, f"{worst.relative_l2:.2e}", angle(worst.cosine)]


def inputs_line(report: CheckReport) -> str:
    """What ran, and what was left out and why, in one line."""
    ran = ", ".join(f"{kind.batches} {kind.name}" for kind in report.kinds if kind.batches)
    absent = "; ".join(f"{kind.name} left out: {kind.left_out}" for kind in report.kinds if kind.left_out)
    return f"batches: {ran}{'; ' + absent if absent else ''}"


def result_lines(result: ContenderResult) -> Iterator[str]:
    """Predictions, metrics and repeatability of a contender, a line each."""
    if result.predictions is not None:
        yield _predictions_line(result.predictions)
    for metric in result.metrics:
        allowed = "not judged" if metric.max_drop is None else f"allowed {metric.max_drop:g}"
        yield (
            f"{metric.name}: {metric.reference:.6g} in the reference, {metric.contender:.6g} here; "
            f"worse by {metric.drop:.3g} ({allowed})"
        )
    if result.repeatability is not None:
        yield _repeatability_line(result.repeatability)
    for number, build in enumerate(result.builds):
        spread = max((spread.largest for spread in build.spreads), default=0.0)
        yield (
            f"build {number}: {build.build_seconds:.1f} s, a run {build.run_seconds * 1e3:.3g} ms, "
            f"largest difference from the first {spread:.3g}, sha256 {build.sha256[:12]}"
        )


def layers_table(found: Bisection) -> Table:
    """Errors of the layers that were compared, those around the guilty one where they are many."""
    layers = around(found.layers, found.guilty, LONGEST)
    some = f", {len(layers)} of {count(len(found.layers), 'tensor')}" if len(layers) < len(found.layers) else ""
    shown = Table(f"Errors inside the file, in its order{some}", _LAYERS)
    for layer in layers:
        error = f"{layer.not_finite} not finite" if layer.not_finite else f"{layer.largest_error:.2e}"
        torch = allowed = ""
        if layer.budget is not None:
            torch, allowed = f"{layer.budget.torch_error:.2e}", f"{layer.budget.limit:.2e}"
        verdict = _WITHIN if layer.passed else _OUTSIDE
        if layer is found.guilty:
            verdict = Cell("FIRST OUTSIDE", Style.BAD)
        shown.add(layer_name(layer), layer.op, layer.tensor, error, allowed, torch, f"{layer.relative_l2:.2e}", verdict)
    return shown


def hazard_lines(report: CheckReport) -> Iterator[str]:
    """The hazards that were reached, a line each, or that none was."""
    reached = [hazard for hazard in report.hazards if hazard.reached]
    if report.hazards and not reached:
        yield f"hazards: none of {len(report.hazards)} figures of the attention layers is beyond its limit"
    yield from (f"hazard: {hazard}" for hazard in reached)


def _predictions_line(found: Predictions) -> str:
    line = f"predictions ({found.output}): {found.agreement:.2%} of {found.compared} agree"
    if found.accuracy_reference is not None and found.accuracy_contender is not None:
        line += f"; accuracy {found.accuracy_reference:.2%} in PyTorch, {found.accuracy_contender:.2%} here"
    return line


def _repeatability_line(found: Repeatability) -> str:
    times = f"median {statistics.median(found.seconds) * 1e3:.3g} ms" if found.seconds else "no run"
    if found.bit_equal:
        return f"repeated {found.runs} times: bit-equal, {times}"
    spread = max(found.spreads, key=lambda spread: spread.largest)
    return (
        f"repeated {found.runs} times: {spread.differing} of {spread.elements} values of {spread.output} differ, "
        f"by at most {spread.largest:.3g}; {times}"
    )
