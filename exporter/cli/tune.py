"""``attnexport tune``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.calibration.options import METHODS, needs_data
from attnexport.calibration.tuning.options import CANDIDATE_NAMES, COSTS, TRAFFIC, candidate_names, refuse_unfit_tuning
from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, OutputPath, grouped, refuse_two_caches, refuse_unread
from attnexport.cli.reports import check_reports
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import HTML, JSON, ONNX
from attnexport.files.outputs import check_not_same, check_output

if TYPE_CHECKING:
    from attnexport.calibration.tuning.result import Tuning


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else candidate_names(value)


@dataclass(frozen=True)
class _Options:
    """What the command line says of the search, by the names that tune has for it."""

    data: Path
    metrics: tuple[str, ...]
    max_drop: float | None
    max_error: float | None
    candidates: tuple[str, ...] | None
    cost: str
    calibration: Path | None
    ranges: Path | None
    method: str
    samples: int | None
    target: str | None
    plugins: Path | None


@click.command(name="tune")
@click.argument("model", metavar="MODEL.onnx", type=PATH)
@click.option("-o", "--output", required=True, type=OutputPath(ONNX), help="The ONNX file to write.")
@click.option("--data", required=True, type=PATH, help="An .npz or a folder of them: arrays by input name, and labels.")
@click.option("--metric", "metrics", multiple=True, help="accuracy, top5, perplexity or module:function. Repeatable.")
@click.option("--max-drop", type=float, help="How much worse than the floating file's metrics may be.")
@click.option("--max-error", type=float, metavar="R", help="Relative L2 of the outputs that is allowed: 0.02 is 2 %.")
@click.option("--candidates", metavar="NAME,…", callback=_names, help=f"Of {', '.join(CANDIDATE_NAMES)}. Default: all that can be used.")  # fmt: skip  # noqa: E501
@click.option("--cost", type=Choice(COSTS), default=TRAFFIC, show_default=True, help="What is cheap where nothing is timed: bytes that a row of data moves, or a small file.")  # fmt: skip  # noqa: E501
@click.option("--calibration", type=PATH, metavar="DATA", help="Data for ranges of activations. Default: that of --data.")  # fmt: skip  # noqa: E501
@click.option("--ranges", type=PATH, metavar="FILE", help="What calibrate wrote, in place of --calibration.")
@click.option("--method", type=Choice(METHODS), default="minmax", show_default=True, help="How ranges are chosen.")
@click.option("--samples", type=int, metavar="N", help="Measure layers alone on about N rows of the data. Default: all.")  # fmt: skip  # noqa: E501
@click.option("--target", metavar="NAME", help="This machine's device: build engines for it, and time them.")
@click.option("--plugins", type=PATH, metavar="LIB", help="The plugin library for these engines.")
@click.option("--cache", type=PATH, metavar="DIR", help="Default: ~/.cache/attnexport/tune.")
@click.option("--no-cache", is_flag=True, help="Neither read nor keep figures of files.")
@click.option("--json", "json_path", type=OutputPath(JSON, report=True), help="Write what was found here too, or - for stdout.")  # fmt: skip  # noqa: E501
@click.option("--html", "html_path", type=OutputPath(HTML, report=True), help="As one HTML page with plots.")
@debug_option
@report_errors
@grouped(options=_Options)
def command(
    model: Path,
    output: Path,
    options: _Options,
    cache: Path | None,
    no_cache: bool,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    """Find the cheapest file that holds bounds, each layer in the scheme that it takes.

    Layers are measured alone in each candidate, then together, against the floating file in ONNX Runtime; check holds
    files to PyTorch. An interrupted search goes on where it was, from the cache.

    Exit codes: 0 written, 1 no file holds the bounds, 2 unusable input.
    """
    refuse_unfit_tuning(model, **vars(options))
    if options.ranges is not None:
        refuse_unread(("method",), expected="--calibration", given="--ranges")
    elif options.candidates is not None and not any(map(needs_data, options.candidates)):
        refuse_unread(("method",), expected="candidates that need data", given=", ".join(options.candidates))
    refuse_two_caches(cache, no_cache)
    inputs = (model, options.data, options.calibration, options.ranges, options.plugins)
    check_output(output)
    check_not_same(output, *inputs)
    reports = {name: path for name, path in (("json", json_path), ("html", html_path)) if path is not None}
    check_reports(reports, *inputs)

    with progress("loading") as follow:
        from attnexport.accuracy.contenders.cache import default_folder
        from attnexport.calibration.tuning.saving import save_tuning
        from attnexport.calibration.tuning.tuning import tune

        kept = None if no_cache else cache or default_folder().with_name("tune")
        found = tune(model, output, **vars(options), cache=kept, progress=follow)
    for name, path in reports.items():
        save_tuning(found, path, name)
    _show(found)
    if found.path is None:
        out().conclude(Verdict(Outcome.FAILED, str(model), f"{_headline(found)}: nothing written"))
        raise SystemExit(1)
    out().conclude(Verdict(Outcome.WROTE, str(found.path), _headline(found)))


def _headline(found: Tuning) -> str:
    from attnexport.calibration.tuning.wording import headline

    return headline(found)


def _show(found: Tuning) -> None:
    from attnexport.calibration.tuning.terminal import layers_table, plans_table
    from attnexport.calibration.tuning.wording import bounds_text, effort, resolution_lines

    console, facts = out(), Facts()
    facts.add("bounds", bounds_text(found.bounds, tuple(found.values)))
    for line in resolution_lines(found):
        facts.add("resolution", line)
    facts.add("time", found.timing)
    facts.add("measured", effort(found))
    if found.sha256:
        facts.add("SHA-256", found.sha256)
    console.print(facts)
    console.print(layers_table(found))
    console.print(plans_table(found))
    show_notes(found.notes)
