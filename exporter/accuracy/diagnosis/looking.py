"""What a check looks into beyond outputs when asked to: the guilty layer, attention's hazards, and rebuilds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attnexport.accuracy.check.override import Override
from attnexport.accuracy.check.results import CheckReport, ContenderResult
from attnexport.accuracy.contenders.facts import Failure
from attnexport.accuracy.contenders.texts import ORT, ORT_CUDA, ContenderText
from attnexport.accuracy.diagnosis.bisect.search import bisect
from attnexport.accuracy.diagnosis.hazards import find_hazards
from attnexport.accuracy.diagnosis.rebuilds import compare_builds
from attnexport.accuracy.inputs.files import DATA, Batch
from attnexport.backends import Backend
from attnexport.display.progress import Progress, unheard
from attnexport.engines.build_options import BuildOptions
from attnexport.engines.building import build_engine
from attnexport.engines.opening import open_backend
from attnexport.messages import option
from attnexport.models.model import Model
from attnexport.models.precisions import PRECISIONS

_HAZARD_KINDS = 2


@dataclass(frozen=True)
class Diagnosis:
    """What a check looks into.

    Attributes:
        bisect: the guilty layer of every ONNX file outside its budget. Default: False.
        hazards: attention's own hazards. Default: False.
        builds: how many engines are built from every ONNX file. Default: 0.
        build: how they are built; needed for builds. Default: None.
    """

    bisect: bool = False
    hazards: bool = False
    builds: int = 0
    build: BuildOptions | None = None


def look_into(
    report: CheckReport,
    contenders: Sequence[ContenderText],
    model: Model,
    batches: Iterable[Batch],
    suspects: Mapping[str, Batch],
    diagnosis: Diagnosis,
    overrides: Mapping[str, Override],
    progress: Progress = unheard,
) -> CheckReport:
    """The report with everything that was asked for.

    Args:
        report: of the check.
        contenders: as they were written, in the report's order.
        model: the model.
        batches: inputs.
        suspects: by name of the contender, a batch on which it was outside its budget.
        diagnosis: what to look into.
        overrides: budgets by module path.
        progress: is told of each step. Default: nobody is.

    Raises:
        InputError: a file that cannot be built.
        BackendError: a copy of a file does not run, a build fails, or an engine does not run on this machine.
    """
    if diagnosis.bisect:
        report = _with_guilty_layers(report, contenders, model, suspects, overrides, progress)
    if diagnosis.hazards:
        progress("measuring hazards", None)
        report = _with_hazards(report, model, batches)
    if diagnosis.build is not None:
        report = _with_rebuilds(report, contenders, model, batches, diagnosis.build, diagnosis.builds, progress)
    return report


def _with_guilty_layers(
    report: CheckReport,
    contenders: Sequence[ContenderText],
    model: Model,
    suspects: Mapping[str, Batch],
    overrides: Mapping[str, Override],
    progress: Progress,
) -> CheckReport:
    """The report with the guilty layer of every ONNX file that was outside its budget."""
    results = []
    for contender, result in zip(contenders, report.contenders, strict=True):
        batch = suspects.get(result.facts.name)
        if batch is None or contender.path is None:
            results.append(result)
        elif contender.kind not in (ORT, ORT_CUDA):
            note = f"{option('--bisect', True)} looks into ONNX files: give the one that this was made from beside it"
            results.append(replace(result, notes=(*result.notes, note)))
        elif result.facts.precision not in PRECISIONS:
            note = f"{option('--bisect', True)} looks into the file without Q/DQ, where the graph's own faults show"
            results.append(replace(result, notes=(*result.notes, note)))
        else:
            results.append(_bisected(result, contender, contender.path, model, batch, overrides, progress))
    return replace(report, contenders=tuple(results))


def _bisected(
    result: ContenderResult,
    contender: ContenderText,
    path: Path,
    model: Model,
    batch: Batch,
    overrides: Mapping[str, Override],
    progress: Progress,
) -> ContenderResult:
    def open_file(copy: Path) -> Backend:
        return open_backend(copy, device=contender.device)

    precision = result.facts.precision
    found = bisect(model, path, batch, open_file, precision=precision, overrides=overrides, progress=progress)
    if found.guilty is None:
        return replace(result, bisection=found)
    where, _, amount = str(found.guilty).partition(": ")
    failure = Failure(
        contender=result.facts.name,
        where=f"layer {where}",
        what="the first tensor outside its budget:",
        amount=amount,
        advice="this layer alone in higher precision, or its weights and attributes beside PyTorch's",
        kind=batch.kind,
    )
    others = (
        replace(other, advice=f"layer {found.guilty.layer or where} first, see below") if other.output else other
        for other in result.failures
    )
    return replace(result, bisection=found, failures=(*others, failure))


def _with_hazards(report: CheckReport, model: Model, batches: Iterable[Batch]) -> CheckReport:
    """The report with the figures of every attention layer.

    They are measured on the first batch of data, or of the first two kinds of inputs: ordinary and large ones, unless
    others were chosen.
    """
    first: dict[str, Batch] = {}
    for batch in batches:
        first.setdefault(batch.kind, batch)
        if batch.kind == DATA or len(first) > _HAZARD_KINDS:
            break
    return replace(report, hazards=find_hazards(model, list(first.values())[:_HAZARD_KINDS]))


def _with_rebuilds(
    report: CheckReport,
    contenders: Sequence[ContenderText],
    model: Model,
    batches: Iterable[Batch],
    options: BuildOptions,
    count: int,
    progress: Progress,
) -> CheckReport:
    """The report with ``count`` engines built from every ONNX file and run on the first batch."""
    (batch,) = itertools.islice(batches, 1)

    def open_engine(engine: Path) -> Backend:
        return open_backend(engine, plugins=options.engine.plugins)

    results = []
    for contender, result in zip(contenders, report.contenders, strict=True):
        if contender.kind in (ORT, ORT_CUDA):

            def build(engine: Path, file: Path = Path(contender.argument)) -> None:
                build_engine(file, engine, options)

            result = replace(result, builds=compare_builds(model, build, open_engine, batch, count, progress))
        results.append(result)
    return replace(report, contenders=tuple(results))
