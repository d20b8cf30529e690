"""``attnexport check``."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnexport.cli.console import debug_option, out, report_errors, say
from attnexport.cli.inputs import chosen_inputs, input_options, options_of_inputs, progress_bar
from attnexport.cli.model import load, model_options, options_of
from attnexport.cli.reports import report_options, report_paths, write_reports
from attnexport.cli.untrusted import strangers_in_a_child
from attnexport.errors import InputError

if TYPE_CHECKING:
    from attnexport.accuracy.check.judging import Plan
    from attnexport.accuracy.check.results import CheckReport
    from attnexport.accuracy.contenders.opening import ContenderText
    from attnexport.models.model import Model

_PRECISIONS = click.Choice(["fp64", "fp32", "fp16", "bf16"])


@click.command(name="check")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("contenders", metavar="CONTENDER…", nargs=-1, required=True)
@input_options
@click.option("--precision", type=_PRECISIONS, help="Hold contenders to PyTorch at it. Default: each to its own.")
@click.option("--plugins", type=click.Path(path_type=Path), metavar="LIB", help="The plugin library for engines.")
@click.option("--budget", type=click.Path(path_type=Path), help="A TOML file of outputs or layers that may err more.")
@click.option("--metric", "metrics", multiple=True, help="accuracy, top5, perplexity or module:function. Repeatable.")
@click.option("--max-drop", type=float, help="How much worse than the reference's a contender's metrics may be.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each batch.")
@click.option("--bisect", is_flag=True, help="Name the layer where an ONNX file goes wrong first.")
@click.option("--hazards", is_flag=True, help="Measure attention's own hazards: scores, ties, empty rows.")
@click.option("--rebuild", type=click.IntRange(min=2), metavar="N", help="Build N engines from each ONNX file.")
@click.option("--target", metavar="NAME", help="The device that --rebuild builds for.")
@click.option("--shapes", multiple=True, metavar="X=MIN:OPT:MAX", help="Shapes that --rebuild builds for, as build's.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR", help="Default: ~/.cache/attnexport/reference.")
@click.option("--no-cache", is_flag=True, help="Neither read nor keep the reference's outputs.")
@click.option("--warn-only", is_flag=True, help="Exit code 0 outside the budget too.")
@report_options
@model_options
@debug_option
@report_errors
@strangers_in_a_child
def command(model: Path, contenders: tuple[str, ...], **given: Any) -> None:
    """Hold model files to their PyTorch reference.

    A CONTENDER is an .onnx file (ONNX Runtime on the CPU; ort-cuda:FILE on a GPU), an engine, recorded outputs (an
    .npz or a folder), or torch:fp16. Each is held to the float64 reference: its largest error may be twice
    PyTorch's own at its precision, plus a floor of a few roundings.

    Exit codes: 0 within budget, 1 outside it, 2 unusable input.
    """
    from attnexport.accuracy.contenders.opening import parse_contender

    parsed = [parse_contender(text) for text in contenders]
    files = (contender.path for contender in parsed)
    paths = report_paths(given, model, given["data"], given["weights"], given["budget"], *files)
    with tempfile.TemporaryDirectory() as scratch:
        report = _checked(model, parsed, Path(scratch), given)
    _show(report)
    write_reports(report, paths)
    for failure in report.failures:
        say(str(failure))
    if not report.passed and not given["warn_only"]:
        raise SystemExit(1)


def _checked(model: Path, contenders: list[ContenderText], scratch: Path, given: dict[str, Any]) -> CheckReport:
    """Loads everything, runs it and compares."""
    from attnexport.accuracy.check.check import check
    from attnexport.accuracy.contenders.cache import OutputCache, default_folder
    from attnexport.accuracy.contenders.opening import Opener, state_for
    from attnexport.accuracy.contenders.quantized import open_all, profiles_of
    from attnexport.accuracy.contenders.torch_runs import TorchRuns
    from attnexport.accuracy.diagnosis.looking import with_guilty_layers, with_hazards, with_rebuilds
    from attnexport.accuracy.inputs.files import Batch
    from attnexport.engines.building import BuildOptions
    from attnexport.engines.shapes import parse_shapes
    from attnexport.models.fitness import refuse_unfit
    from attnexport.plugins.runtime.request import EngineOptions

    _refuse_unfit_options(contenders, given)
    loaded = load(options_of(model, given)).without_state(state_for(contenders))
    refuse_unfit(loaded)
    folder = None if given["no_cache"] else given["cache"] or default_folder()
    runs = TorchRuns(loaded, OutputCache(folder))
    plan = _plan(str(model), loaded, given)
    opener = Opener(runs, given["precision"], given["plugins"])
    opened = open_all(opener, contenders, scratch)
    contenders = [one.text for one in opened]
    inputs = chosen_inputs(loaded, options_of_inputs(given), profiles_of(opened))
    suspects: dict[str, Batch] = {}
    with progress_bar("checking") as progress:
        report = check(
            runs,
            [one.contender for one in opened],
            inputs.batches,
            plan,
            left_out=inputs.left_out,
            suspects=suspects,
            progress=progress,
        )
    report = replace(report, notes=(*loaded.notes, *report.notes))
    runs.cache.trim()
    with out().status("looking into layers"):
        if given["bisect"]:
            report = with_guilty_layers(report, contenders, loaded, suspects, plan.budget.layers)
        if given["hazards"]:
            report = with_hazards(report, loaded, inputs.batches)
        if given["rebuild"]:
            options = BuildOptions(
                given["target"], EngineOptions(parse_shapes(given["shapes"]), plugins=given["plugins"])
            )
            report = with_rebuilds(report, contenders, loaded, inputs.batches, options, given["rebuild"])
    return report


def _refuse_unfit_options(contenders: list[ContenderText], given: dict[str, Any]) -> None:
    from attnexport.accuracy.contenders.opening import RECORDED

    if (given["rebuild"] is None) != (given["target"] is None):
        raise InputError("--rebuild: expected together with --target, given one of them")
    if given["shapes"] and given["rebuild"] is None:
        raise InputError("--shapes: expected beside --rebuild, given without")
    if given["max_drop"] is not None and not given["metrics"]:
        raise InputError("--max-drop: expected beside --metric, given without")
    for contender in contenders:
        if contender.kind == RECORDED and given["data"] is None:
            raise InputError(f"{contender.text}: recorded outputs: expected the inputs that they are of in --data")


def _plan(model: str, loaded: Model, given: dict[str, Any]) -> Plan:
    from attnexport.accuracy.check.budget_file import BudgetFile, read_budget_file
    from attnexport.accuracy.check.judging import Plan
    from attnexport.accuracy.errors.metrics import find_metric

    budget = BudgetFile()
    if given["budget"] is not None:
        budget = read_budget_file(given["budget"], loaded.output_names, loaded.module_paths)
    return Plan(
        model=model,
        model_sha256=loaded.sha256,
        predictions=given["data"] is not None,
        metrics=tuple(find_metric(name) for name in given["metrics"]),
        max_drop=given["max_drop"],
        repeat=given["repeat"],
        budget=budget,
    )


def _show(report: CheckReport) -> None:
    from attnexport.accuracy.reports.terminal import (
        contender_table,
        hazard_lines,
        inputs_line,
        layers_table,
        result_lines,
    )

    console = out()
    for result in report.contenders:
        console.print(contender_table(result))
        console.print(f"verdict: {result.verdict}")
        for line in result_lines(result):
            console.print(line)
        for note in result.notes:
            console.print(f"note: {note}")
        if result.bisection is not None:
            console.print(layers_table(result.bisection))
            for note in result.bisection.notes:
                console.print(f"note: {note}")
    for line in hazard_lines(report):
        console.print(line)
    console.print(inputs_line(report))
    for override in report.overrides:
        console.print(f"budget: {override.name} is allowed {override.allowance}: {override.reason}")
    for note in report.notes:
        console.print(f"note: {note}")
