"""Holds contenders to the float64 reference of a model, batch by batch."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence

from attnexport.accuracy.check.environment import environment
from attnexport.accuracy.check.judging import Judge, Plan
from attnexport.accuracy.check.results import CheckedModel, CheckReport, ContenderResult, Times
from attnexport.accuracy.check.yardsticks import Yardsticks
from attnexport.accuracy.contenders.contenders import Contender
from attnexport.accuracy.contenders.torch_runs import REFERENCE, TorchRuns
from attnexport.accuracy.errors.yardstick_tallies import RoundingTally
from attnexport.accuracy.inputs.files import Batch
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.messages import named, option


def check(
    runs: TorchRuns,
    contenders: Sequence[Contender],
    batches: Iterable[Batch],
    plan: Plan | None = None,
    *,
    left_out: Mapping[str, str] | None = None,
    suspects: dict[str, Batch] | None = None,
    progress: Progress = unheard,
) -> CheckReport:
    """Runs the model in float64 and at the contenders' precisions, and the contenders beside it.

    One batch is in memory at a time. PyTorch runs on every batch at every contender's precision, so that what one is
    held to does not depend on the others. Everything runs in this process: a stranger's program is for the command
    line, which runs it in a child that can harm little.

    Args:
        runs: the model in PyTorch.
        contenders: what is held to it.
        batches: inputs. They are iterated again when an output is outside its budget, to look at those on which it is.
        plan: how. Default: None, outputs alone, once.
        left_out: why, for kinds of inputs that the model has none of; read at the end. Default: None.
        suspects: is given, by name of the contender, a batch on which it is outside its budget. Default: None.
        progress: is told what runs on which batch, and the share of the inputs that is done. Default: nobody is.

    Raises:
        InputError: nothing to compare or to judge on, outputs of another shape, labels that do not fit, or a
            reference that is not finite: for data that the user gave, or for every kind of generated inputs.
        BackendError: PyTorch cannot run the model at a contender's precision, or a contender runs on no batch.
    """
    plan, started = plan or Plan(), time.perf_counter()
    judges = [Judge(contender, plan, runs) for contender in contenders]
    yardsticks = Yardsticks(runs, tuple(dict.fromkeys(judge.precision for judge in judges)), plan.budget)
    done = 0.0
    for batch in batches:
        progress(f"running PyTorch on {batch.source}", done)
        outputs = yardsticks.take(batch)
        if outputs is not None:
            for judge in judges:
                progress(f"checking {judge.facts.name} on {batch.source}", done)
                judge.take(outputs)
        done = batch.done
    kinds = yardsticks.kinds(left_out or {})
    _look_again(judges, yardsticks, batches, progress)
    results = tuple(judge.result(yardsticks) for judge in judges)
    for result in results:
        _refuse_unjudged(result)
        _refuse_empty(result, batches)
    if suspects is not None:
        pairs = zip(judges, results, strict=True)
        suspects.update(
            {judge.facts.name: judge.suspect for judge, result in pairs if judge.suspect and not result.passed}
        )
    return CheckReport(
        model=CheckedModel(
            name=runs.model.name,
            sha256=runs.model.sha256,
            source_hash=runs.model.source_hash,
            precision=runs.model.precision,
            variants=tuple(variant.title for variant in runs.model.variants),
            layers=runs.model.layers,
        ),
        contenders=results,
        kinds=kinds,
        batches=sum(kind.batches for kind in kinds),
        times=Times(
            reference=runs.seconds.get(REFERENCE, 0.0),
            yardsticks=sum(seconds for precision, seconds in runs.seconds.items() if precision != REFERENCE),
            total=time.perf_counter() - started,
            cached=runs.cache.hits,
        ),
        environment=environment(),
        overrides=plan.budget.overrides,
        notes=runs.cache.notes,
        inputs_sha256=yardsticks.inputs_sha256,
    )


def _look_again(judges: Sequence[Judge], yardsticks: Yardsticks, batches: Iterable[Batch], progress: Progress) -> None:
    """Looks again at the batches on which some contender is outside its budget, in their order."""
    doubted = [judge.doubted(yardsticks) for judge in judges]
    left = set().union(*doubted)
    if not left:
        return
    for batch in batches:
        if batch.source not in left:
            continue
        progress(f"rounding at random on {batch.source}", None)

        @functools.cache
        def rounding(precision: str, batch: Batch = batch) -> dict[str, RoundingTally]:
            return yardsticks.rounding(batch, yardsticks.exact(batch), precision)

        for judge, sources in zip(judges, doubted, strict=True):
            if batch.source in sources:
                judge.look_again(batch, yardsticks, rounding)
        left.discard(batch.source)
        if not left:
            return


def _refuse_unjudged(result: ContenderResult) -> None:
    """Refuses to pass an output when no kind of inputs says anything about it."""
    for output in result.outputs:
        if output.passed and not output.is_yardstick and not any(kind.judged for kind in output.kinds):
            kinds = ", ".join(kind.kind for kind in output.kinds)
            raise InputError(
                f"{named('output', output.name)}: expected inputs on which PyTorch at {result.facts.precision} "
                f"keeps its digits, given {kinds} alone: add the kind normal, or give {option('--data')}"
            )


def _refuse_empty(result: ContenderResult, batches: Iterable[Batch]) -> None:
    """Refuses to pass when no output has a value, as where every sequence has length 0."""
    if not result.outputs or any(kind.elements for output in result.outputs for kind in output.kinds):
        return
    for batch in batches:
        if batch.empty:
            raise InputError(f"{batch.source}: expected outputs with values to compare, given none: {batch.empty}")
