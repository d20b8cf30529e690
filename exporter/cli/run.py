"""``attnexport run``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, OutputPath
from attnexport.display.amounts import size
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.engines.run_options import refuse_unfit_options
from attnexport.files.kinds import ARRAYS, JSON
from attnexport.files.outputs import check_not_same, check_not_twice, check_output, write_json
from attnexport.files.shapes import shapes_text
from attnexport.messages import count

if TYPE_CHECKING:
    from attnexport.engines.running import RunReport


_JSON = OutputPath(JSON, report=True)


@click.command(name="run")
@click.argument("model", metavar="MODEL.engine|MODEL.onnx", type=PATH)
@click.option("--data", required=True, type=PATH, help="An .npz: arrays by input name.")
@click.option("-o", "--output", type=OutputPath(ARRAYS), help="The .npz to write the outputs into.")
@click.option("--time", "repeats", type=click.IntRange(min=1), metavar="N", help="Time N more runs.")
@click.option("--plugins", type=PATH, metavar="LIB", help="The engine's plugin library.")
@click.option("--device", type=Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="For ONNX files.")
@click.option("--json", "json_path", type=_JSON, help="Write the report here too, or - for stdout.")
@debug_option
@report_errors
def command(
    model: Path,
    data: Path,
    output: Path | None,
    repeats: int | None,
    plugins: Path | None,
    device: str,
    json_path: Path | None,
) -> None:
    """Run an engine or an ONNX file on given arrays, and time it.

    An engine runs on the GPU that it was built for, with the TensorRT that built it, as its manifest says. Opening an
    engine or a plugin library runs their code: give none that you did not build.
    """
    for path in (output, json_path):
        check_output(path)
        check_not_same(path, model, data, plugins)
    check_not_twice(output, json_path)
    refuse_unfit_options(model, data, plugins)

    with progress("loading") as follow:
        from attnexport.engines.run_json import as_json
        from attnexport.engines.running import run

        done = run(model, data, plugins=plugins, device=device, repeats=repeats or 0, progress=follow)
    report = done.report
    if output is not None:
        done.save(output)
    facts = Facts()
    facts.add("ran by", report.ran_by)
    facts.add("attention", report.attention)
    facts.add("precision", report.precision)
    facts.add("inputs", shapes_text(report.inputs.items()))
    facts.add("outputs", shapes_text(report.outputs.items()))
    if report.timing is not None:
        timing = report.timing
        times = f"min {timing.minimum:.3f}, median {timing.median:.3f}, p99 {timing.p99:.3f}"
        times = f"{times} of {count(timing.repeats, 'run')}"
        facts.add("ms", times)
        facts.add("throughput", f"{timing.rows_per_second:,.0f} rows/s")
    for holder, held in report.memory.items():
        facts.add("memory", f"{holder}: {size(held)}")
    if output is not None:
        facts.add("wrote", str(output))
    out().print(facts)
    show_notes(report.notes)
    if json_path is not None:
        write_json(json_path, as_json(report, model=model, data=data))
    out().conclude(Verdict(Outcome.RAN, str(model), ", ".join(_said(report, output))))


def _said(report: RunReport, output: Path | None) -> Iterator[str]:
    into = "" if output is None else f" in {output}"
    yield f"{count(len(report.outputs), 'output')}{into}"
    if report.timing is not None:
        yield f"median {report.timing.median:.3f} ms of {count(report.timing.repeats, 'run')}"
