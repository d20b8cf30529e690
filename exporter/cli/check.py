"""``attnexport check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.accuracy.contenders.texts import parse_contender
from attnexport.accuracy.inputs.options import InputOptions
from attnexport.accuracy.options import refuse_unfit_options
from attnexport.cli.console import debug_option, out, report_errors, say, show_notes
from attnexport.cli.inputs import input_options
from attnexport.cli.model import ModelOptions, load, model_options
from attnexport.cli.options import PATH, Precision, grouped, refuse_two_caches
from attnexport.cli.reports import ReportOptions, report_options
from attnexport.cli.untrusted import strangers_in_a_child
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome

if TYPE_CHECKING:
    from attnexport.accuracy.check.results import CheckReport

_PRECISIONS = Precision(["fp64", "fp32", "fp16", "bf16"])


@dataclass(frozen=True)
class _Options:
    """What the command line says of the check itself, by the names that check has for it."""

    precision: str | None
    plugins: Path | None
    budget: Path | None
    metrics: tuple[str, ...]
    max_drop: float | None
    repeat: int
    bisect: bool
    hazards: bool
    rebuild: int | None
    target: str | None
    shapes: tuple[str, ...]


@click.command(name="check")
@click.argument("model", type=PATH)
@click.argument("contenders", metavar="CONTENDER…", nargs=-1, required=True)
@input_options
@click.option("--precision", type=_PRECISIONS, help="Hold contenders to PyTorch at it. Default: each to its own.")
@click.option("--plugins", type=PATH, metavar="LIB", help="The plugin library for engines.")
@click.option("--budget", type=PATH, help="A TOML file of outputs or layers that may err more.")
@click.option("--metric", "metrics", multiple=True, help="accuracy, top5, perplexity or module:function. Repeatable.")
@click.option("--max-drop", type=float, help="How much worse than the reference's a contender's metrics may be.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each batch.")
@click.option("--bisect", is_flag=True, help="Name the layer where an ONNX file goes wrong first.")
@click.option("--hazards", is_flag=True, help="Measure attention's own hazards: scores, ties, empty rows.")
@click.option("--rebuild", type=click.IntRange(min=2), metavar="N", help="Build N engines from each ONNX file.")
@click.option("--target", metavar="NAME", help="The device that --rebuild builds for.")
@click.option("--shapes", multiple=True, metavar="X=MIN:OPT:MAX", help="Shapes that --rebuild builds for, as build's.")
@click.option("--cache", type=PATH, metavar="DIR", help="Default: ~/.cache/attnexport/reference.")
@click.option("--no-cache", is_flag=True, help="Neither read nor keep the reference's outputs.")
@click.option("--warn-only", is_flag=True, help="Exit code 0 outside the budget too.")
@report_options
@model_options
@debug_option
@report_errors
@strangers_in_a_child
@grouped(source=ModelOptions, inputs=InputOptions, reports=ReportOptions, options=_Options)
def command(
    contenders: tuple[str, ...],
    source: ModelOptions,
    inputs: InputOptions,
    reports: ReportOptions,
    options: _Options,
    cache: Path | None,
    no_cache: bool,
    warn_only: bool,
) -> None:
    """Hold model files to their PyTorch reference.

    A CONTENDER is an .onnx file (ONNX Runtime on the CPU; ort-cuda:FILE on a GPU), an engine, recorded outputs (an
    .npz or a folder), or torch:fp16. Each is held to the float64 reference: its largest error may be twice
    PyTorch's own at its precision, plus a floor of a few roundings.

    Exit codes: 0 within budget, 1 outside it, 2 unusable input.
    """
    wanted = [parse_contender(text) for text in contenders]
    files = (contender.path for contender in wanted)
    reports.check(source.model, inputs.data, source.weights, options.budget, *files)
    refuse_unfit_options(
        wanted,
        inputs,
        plugins=options.plugins,
        budget=options.budget,
        metrics=options.metrics,
        max_drop=options.max_drop,
        rebuild=options.rebuild,
        target=options.target,
        shapes=options.shapes,
    )
    source.check()
    refuse_two_caches(cache, no_cache)

    with progress("loading") as follow:
        from attnexport.accuracy.checking import check
        from attnexport.accuracy.contenders.cache import default_folder
        from attnexport.accuracy.reports.verdicts import verdicts

        report = check(
            load(source),
            contenders,
            **vars(inputs),
            **vars(options),
            cache=None if no_cache else cache or default_folder(),
            progress=follow,
        )
    _show(report)
    reports.write(report)
    for failure in report.failures:
        say(str(failure))
    for verdict in verdicts(report, Outcome.WARNED if warn_only else Outcome.FAILED):
        out().conclude(verdict)
    if not report.passed and not warn_only:
        raise SystemExit(1)


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
        for line in result_lines(result):
            console.print(line)
        show_notes(result.notes)
        if result.bisection is not None:
            console.print(layers_table(result.bisection))
            show_notes(result.bisection.notes)
    for line in hazard_lines(report):
        console.print(line)
    console.print(inputs_line(report))
    for override in report.overrides:
        console.print(f"budget: {override.name} is allowed {override.allowance}: {override.reason}")
    show_notes(report.notes)
