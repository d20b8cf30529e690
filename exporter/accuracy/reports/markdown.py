"""A check as Markdown for a pull request: verdict and failures first, details folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnexport.accuracy.check.findings import Bisection, Hazard
from attnexport.accuracy.check.results import FAILED, NOT_JUDGED, PASSED, YARDSTICK, CheckReport, ContenderResult
from attnexport.accuracy.contenders.facts import Failure
from attnexport.accuracy.errors.measures import KindErrors, OutputErrors
from attnexport.accuracy.reports.markdown_text import cell, code, folded, plain, table
from attnexport.accuracy.reports.wording import (
    around,
    contender_facts,
    headline,
    layer_name,
    model_facts,
    number,
    seconds,
    used,
)
from attnexport.messages import count

_MARKS = {PASSED: "✅", FAILED: "❌", YARDSTICK: "📏", NOT_JUDGED: "➖"}

LONGEST = 30
"""Rows of a table or list; GitHub takes comments of up to 65536 characters."""


def render(report: CheckReport) -> str:
    """GitHub-flavoured Markdown, contenders that failed first. Names from files are text in it, never markup."""
    lines = [
        f"## {_MARKS[report.outcome]} Accuracy of {code(report.model.name)}",
        "",
        f"**{report.outcome.capitalize()}**: {headline(report)}. {count(report.batches, 'batch')} "
        f"against PyTorch in float64, {seconds(report.times.total)}.",
        "",
        *_failures(report.failures),
        *_notes(report.notes),
    ]
    for result in sorted(report.contenders, key=lambda result: (result.passed, not result.judged)):
        lines += _contender(result)
    lines += [*_hazards(report.hazards), *_overrides(report), *_inputs(report), *_environment(report)]
    return "\n".join(lines).rstrip() + "\n"


def _outcome(kind: KindErrors) -> str:
    if not kind.passed:
        return FAILED
    return YARDSTICK if kind.is_yardstick else PASSED if kind.judged else NOT_JUDGED


def _mark(passed: bool) -> str:
    return _MARKS[PASSED if passed else FAILED]


def _shortened(rows: Sequence[str], noun: str) -> list[str]:
    """List items, the first of them where there are many."""
    items = [f"- {row}" for row in rows[:LONGEST]]
    left = len(rows) - LONGEST
    return [*items, *([f"- and {count(left, noun)} more"] if left > 0 else [])]


def _failures(failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    rows = [
        f"{code(failure.contender)}: **{plain(failure.where)}**: {plain(f'{failure.what} {failure.amount}')}. "
        f"Try {plain(failure.advice)}."
        for failure in failures
    ]
    return [*_shortened(rows, "failure"), ""]


def _contender(result: ContenderResult) -> list[str]:
    facts = result.facts
    lines = [
        f"### {_MARKS[result.outcome]} {code(facts.name)}",
        "",
        f"{plain(facts.runtime)}, {plain(facts.precision)} ({plain(facts.precision_source)}), "
        f"{seconds(result.seconds)}. {plain(result.verdict[:1].upper() + result.verdict[1:])}.",
        "",
    ]
    outputs = sorted(result.outputs, key=lambda output: (output.passed, -output.worst_kind.share))
    if outputs:
        lines += [*_figures([(output, output.worst_kind) for output in outputs]), ""]
    lines += [*_shortened([*_task(result), *_repetitions(result)], "figure"), ""]
    if result.bisection is not None:
        lines += _bisection(result.bisection)
    every = [(output, kind) for output in outputs for kind in output.kinds]
    if len(every) > len(outputs):
        every.sort(key=lambda row: (row[1].passed, -row[1].share))
        lines += folded("Errors by kind of inputs", _figures(every))
    return [*lines, *_notes(result.notes)]


def _figures(rows: Sequence[tuple[OutputErrors, KindErrors]]) -> list[str]:
    headings = ("", "output", "inputs", "largest error:", "allowed:", "of the budget:", "relative L2:", "cosine:")
    lines = table(headings, (_row(output, kind) for output, kind in rows[:LONGEST]))
    left = len(rows) - LONGEST
    return [*lines, *(["", f"and {count(left, 'row')} more"] if left > 0 else [])]


def _row(output: OutputErrors, kind: KindErrors) -> tuple[str, ...]:
    start = (_MARKS[_outcome(kind)], cell(code(output.name)), plain(kind.kind))
    if kind.budget is None:
        return (*start, f"{kind.mismatches} differ", f"{kind.allowed_mismatches} differ", used(kind), "", "")
    largest = f"{kind.not_finite} NaN or infinite" if kind.not_finite else number(kind.largest_error)
    figures = (largest, number(kind.budget.limit), used(kind), number(kind.relative_l2), f"{kind.cosine:.7f}")
    return (*start, *figures)


def _task(result: ContenderResult) -> Iterator[str]:
    """Metrics and predictions, a line each."""
    for metric in result.metrics:
        allowed = "" if metric.max_drop is None else f", a drop of {number(metric.max_drop)} is allowed"
        values = f"{number(metric.contender, 6)}, {number(metric.reference, 6)} in the reference"
        yield f"{_mark(metric.passed)} metric {code(metric.name)}: {values}{allowed}"
    predictions = result.predictions
    if predictions is not None:
        line = f"predictions of {code(predictions.output)}: {predictions.agreement:.2%} of "
        line += f"{predictions.compared:,} agree"
        if predictions.accuracy_reference is not None and predictions.accuracy_contender is not None:
            line += f"; accuracy {predictions.accuracy_contender:.2%}, "
            line += f"{predictions.accuracy_reference:.2%} in the reference"
        yield line


def _repetitions(result: ContenderResult) -> Iterator[str]:
    """Repeated runs and builds, a line each."""
    repeatability = result.repeatability
    if repeatability is not None:
        largest = max((spread.largest for spread in repeatability.spreads), default=0.0)
        equal = "bit-equal" if repeatability.bit_equal else f"up to {number(largest)} apart"
        yield f"{count(repeatability.runs, 'run')} of each batch: {equal}"
    if result.builds:
        apart = max((spread.largest for build in result.builds for spread in build.spreads), default=0.0)
        times = [build.run_seconds for build in result.builds]
        yield (
            f"{count(len(result.builds), 'build')}: outputs up to {number(apart)} apart, "
            f"a run takes {seconds(min(times))} to {seconds(max(times))}"
        )


def _bisection(bisection: Bisection) -> list[str]:
    guilty = bisection.guilty
    if guilty is None:
        found = "No layer is outside its budget." if bisection.layers else "No layer could be compared."
        return [found, "", *_notes(bisection.notes)]
    lines = [f"**First layer outside its budget**: {plain(str(guilty))}.", ""]
    lines += _notes(bisection.notes)
    shown = around(bisection.layers, guilty, LONGEST)
    headings = ("", "layer", "operator", "largest error:", "allowed:", "relative L2:")
    rows = [
        (
            _mark(layer.passed),
            cell(code(layer_name(layer))),
            cell(code(layer.op)),
            f"{layer.not_finite} NaN or infinite" if layer.not_finite else number(layer.largest_error),
            "" if layer.budget is None else number(layer.budget.limit),
            number(layer.relative_l2),
        )
        for layer in shown
    ]
    title = f"Errors of {len(shown)} of {count(len(bisection.layers), 'layer')}"
    return [*lines, *folded(title, table(headings, rows))]


def _hazards(hazards: Sequence[Hazard]) -> list[str]:
    reached = [hazard for hazard in hazards if hazard.reached]
    if not reached:
        return []
    rows = [
        f"{code(hazard.layer)}{'' if hazard.head is None else f' head {hazard.head}'}: {plain(hazard.name)} "
        f"{number(hazard.value)}, beyond {number(hazard.limit)}; {plain(hazard.meaning)}"
        for hazard in reached
    ]
    return ["### Hazards", "", *_shortened(rows, "hazard"), ""]


def _overrides(report: CheckReport) -> list[str]:
    if not report.overrides:
        return []
    rows = [
        f"{code(override.name)}: {plain(override.allowance)}, because {plain(override.reason)}"
        for override in report.overrides
    ]
    return ["### Budgets that were set by hand", "", *_shortened(rows, "budget"), ""]


def _notes(notes: Sequence[str]) -> list[str]:
    return ["Notes:", "", *_shortened([plain(note) for note in notes], "note"), ""] if notes else []


def _inputs(report: CheckReport) -> list[str]:
    rows = []
    for kind in report.kinds:
        shapes = plain(", ".join(kind.shapes[:3]))
        ran = f"{count(kind.batches, 'batch')} of {shapes}" if kind.batches else "did not run"
        why = f" ({plain(kind.left_out)})" if kind.left_out else ""
        rows.append(f"**{plain(kind.name)}**, {plain(kind.title)}: {ran}{why}")
    return folded("Inputs", _shortened(rows, "kind"))


def _environment(report: CheckReport) -> list[str]:
    rows = [(plain(name), cell(code(value))) for name, value in model_facts(report).items()]
    for result in report.contenders:
        facts = contender_facts(result).items()
        rows += [(f"{cell(code(result.facts.name))} {plain(name)}", cell(code(value))) for name, value in facts]
    return folded("Environment and hashes", table(("", ""), rows))
