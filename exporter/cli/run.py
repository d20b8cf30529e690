"""``attnexport run``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes, summary
from attnexport.cli.options import PATH
from attnexport.files.outputs import check_not_same, check_not_twice, check_output, write_json
from attnexport.files.shapes import shapes_text
from attnexport.messages import count


@click.command(name="run")
@click.argument("model", metavar="MODEL.engine|MODEL.onnx", type=PATH)
@click.option("--data", required=True, type=PATH, help="An .npz: arrays by input name.")
@click.option("-o", "--output", type=PATH, help="The .npz to write the outputs into.")
@click.option("--time", "repeats", type=click.IntRange(min=1), metavar="N", help="Time N more runs.")
@click.option("--plugins", type=PATH, metavar="LIB", help="The engine's plugin library.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="For ONNX files.")
@click.option("--json", "json_path", type=PATH, help="Write the report here too.")
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
    from attnexport.engines.run_json import as_json
    from attnexport.engines.running import run

    for path in (output, json_path):
        check_output(path)
        check_not_same(path, model, data, plugins)
    check_not_twice(output, json_path)
    with out().status("running"):
        done = run(model, data, plugins=plugins, device=device, repeats=repeats or 0)
    report = done.report
    if output is not None:
        done.save(output)
    table = summary()
    table.add_row("ran by", report.ran_by)
    table.add_row("attention", report.attention)
    table.add_row("precision", report.precision)
    table.add_row("inputs", shapes_text(report.inputs.items()))
    table.add_row("outputs", shapes_text(report.outputs.items()))
    if report.timing is not None:
        timing = report.timing
        times = f"min {timing.minimum:.3f}, median {timing.median:.3f}, p99 {timing.p99:.3f}"
        times = f"{times} of {count(timing.repeats, 'run')}"
        table.add_row("ms", times)
        table.add_row("throughput", f"{timing.rows_per_second:,.0f} rows/s")
    for holder, held in report.memory.items():
        table.add_row("memory", f"{holder}: {held / 2**20:.1f} MiB")
    if output is not None:
        table.add_row("wrote", str(output))
    out().print(table)
    show_notes(report.notes)
    if json_path is not None:
        write_json(json_path, as_json(report, model=model, data=data))
