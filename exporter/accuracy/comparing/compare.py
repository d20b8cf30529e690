"""attnexport.compare: two runs of the check beside each other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from attnexport.accuracy.comparing.comparison import (
    Compared,
    ComparedContender,
    ComparedRun,
    Comparison,
    Figure,
    Measured,
)
from attnexport.accuracy.comparing.read_report import (
    ReadContender,
    ReadHazard,
    ReadLayer,
    ReadReport,
    read_report,
    report_of,
)

if TYPE_CHECKING:
    from attnexport.accuracy.check.results import CheckReport

    Report = str | os.PathLike[str] | CheckReport


def compare(before: Report, after: Report) -> Comparison:
    """Holds one run of the check beside an earlier one, as ``attnexport compare`` does.

    Contenders are matched by name, else by the file's name where one alone has it, and where each run has exactly one
    by that. A figure counts as the same up to a change of a tenth.

    Args:
        before, after: files that ``check --json`` or ``CheckReport.save`` wrote, or the reports of
            :func:`attnexport.check`.

    Returns:
        What became better or worse, by output, metric, layer and hazard; ``passed`` says whether nothing that passed
        now fails.

    Raises:
        InputError: a file that cannot be read, or that is no report of this schema.
    """
    return _compared(_read(before, "before"), _read(after, "after"))


def _read(report: Report, place: str) -> ReadReport:
    if isinstance(report, (str, os.PathLike)):
        return read_report(report)
    from attnexport.accuracy.reports.json_report import as_json

    return report_of(as_json(report), place)


def _compared(before: ReadReport, after: ReadReport) -> Comparison:
    pairs = _matched(before.contenders, after.contenders)
    matched = {id(contender) for pair in pairs for contender in pair}
    return Comparison(
        before=_run(before),
        after=_run(after),
        contenders=tuple(_contender(one, other) for one, other in pairs),
        hazards=_beside(_hazards(before.hazards), _hazards(after.hazards)) if before.hazards and after.hazards else (),
        new=tuple(contender.facts.name for contender in after.contenders if id(contender) not in matched),
        gone=tuple(contender.facts.name for contender in before.contenders if id(contender) not in matched),
        notes=tuple(_notes(before, after)),
    )


def _run(report: ReadReport) -> ComparedRun:
    return ComparedRun(report.source, report.model.name, report.passed)


def _notes(before: ReadReport, after: ReadReport) -> Iterator[str]:
    if before.model.source_hash != after.model.source_hash:
        names = f"{before.model.name} and {after.model.name}"
        yield f"the models differ in graph or weights, so that figures are of two models: {names}"
    if before.inputs_sha256 and after.inputs_sha256 and before.inputs_sha256 != after.inputs_sha256:
        yield "the inputs differ: a figure may have changed with them alone"
    if bool(before.hazards) != bool(after.hazards):
        yield f"hazards were measured {'before' if before.hazards else 'after'} alone, and are not compared"
    changed = {
        name
        for name in before.environment.keys() | after.environment.keys()
        if before.environment.get(name) != after.environment.get(name)
    }
    for name in sorted(changed):
        yield f"{name}: {before.environment.get(name, 'none')} before, {after.environment.get(name, 'none')} after"


def _matched(
    before: Sequence[ReadContender], after: Sequence[ReadContender]
) -> list[tuple[ReadContender, ReadContender]]:
    """Pairs in the later run's order."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    known = _numbered(before)
    pairs = {id(contender): known[key] for key, contender in _numbered(after).items() if key in known}
    paired = {id(contender) for contender in pairs.values()}
    left = _by_file_name(contender for contender in before if id(contender) not in paired)
    rest = _by_file_name(contender for contender in after if id(contender) not in pairs)
    pairs |= {id(contender): left[name] for name, contender in rest.items() if name in left}
    return [(pairs[id(contender)], contender) for contender in after if id(contender) in pairs]


def _numbered(contenders: Iterable[ReadContender]) -> dict[tuple[str, int], ReadContender]:
    """By name, and by how many of that name were before."""
    seen: Counter[str] = Counter()
    found = {}
    for contender in contenders:
        name = contender.facts.name
        found[name, seen[name]] = contender
        seen[name] += 1
    return found


def _by_file_name(contenders: Iterable[ReadContender]) -> dict[str, ReadContender]:
    """Those whose file's name no other one has."""
    named = [(PurePath(contender.facts.name).name, contender) for contender in contenders]
    amounts = Counter(name for name, _ in named)
    return {name: contender for name, contender in named if amounts[name] == 1}


def _contender(before: ReadContender, after: ReadContender) -> ComparedContender:
    known = {failure.place for failure in before.failures}
    looked_into = before.bisection is not None and after.bisection is not None
    return ComparedContender(
        name=after.facts.name,
        before_name=before.facts.name,
        before=_outcome(before),
        after=_outcome(after),
        outputs=_beside(_outputs(before), _outputs(after)),
        metrics=_beside(_metrics(before), _metrics(after)),
        layers=_beside(_layers(before), _layers(after)) if looked_into else (),
        guilty_before=_guilty(before),
        guilty_after=_guilty(after),
        failures=tuple(failure.line for failure in after.failures if failure.place not in known),
    )


def _outcome(contender: ReadContender) -> str:
    return contender.outcome or ("passed" if contender.passed else "failed")


def _guilty(contender: ReadContender) -> str:
    bisection = contender.bisection
    return "" if bisection is None or bisection.guilty is None else _layer_name(bisection.guilty)


def _beside(before: Mapping[Hashable, Figure], after: Mapping[Hashable, Figure]) -> tuple[Compared, ...]:
    """Figures of both by their names, those that are gone last."""
    names = dict.fromkeys([*after, *before])
    return tuple(Compared(_spelled(name), before.get(name), after.get(name)) for name in names)


def _spelled(name: Hashable) -> str:
    """A name, with a number from the second of the same on."""
    if not isinstance(name, tuple):
        return str(name)
    text, number = name
    return f"{text} ({number + 1})" if number else str(text)


def _outputs(contender: ReadContender) -> dict[Hashable, Figure]:
    return {
        f"{output.name}, {kind.kind} inputs": Figure(kind.share, kind.passed, kind.judged and not kind.is_yardstick)
        for output in contender.outputs
        for kind in output.kinds
        if not kind.is_yardstick
    }


def _metrics(contender: ReadContender) -> dict[Hashable, Figure]:
    return {
        metric.name: Measured(metric.drop, metric.passed, metric.max_drop is not None) for metric in contender.metrics
    }


def _layers(contender: ReadContender) -> dict[Hashable, Figure]:
    """By layer and operator; the second call of an operator in a layer has the number 1."""
    found: dict[Hashable, Figure] = {}
    seen: Counter[str] = Counter()
    for layer in contender.bisection.layers if contender.bisection is not None else ():
        name = _layer_name(layer)
        found[name, seen[name]] = Figure(layer.share, layer.passed)
        seen[name] += 1
    return found


def _layer_name(layer: ReadLayer) -> str:
    return f"{layer.layer or 'the model itself'} ({layer.op})"


def _hazards(hazards: Iterable[ReadHazard]) -> dict[Hashable, Figure]:
    return {
        f"{hazard.layer}{'' if hazard.head is None else f', head {hazard.head}'}: {hazard.name}": Measured(
            hazard.value, not hazard.reached
        )
        for hazard in hazards
    }
