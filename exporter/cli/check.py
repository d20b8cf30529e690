"""``attnexport check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnexport.cli.console import debug_option, out, report_errors, write_json
from attnexport.cli.model import load, model_options, options_of
from attnexport.files import check_not_same, check_output


@click.command(name="check")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("onnx_file", metavar="OUT.onnx", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="An .npz, or a folder of them: arrays by input name, and labels. Default: generated inputs.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Generated inputs to run.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the report here too.")
@model_options
@debug_option
@report_errors
def command(model: Path, onnx_file: Path, data: Path | None, seeds: int, json_path: Path | None, **given: Any) -> None:
    """Compare an ONNX file with its PyTorch reference.

    ONNX Runtime's outputs are held to the float64 reference: the largest error may be twice PyTorch's own at the
    model's precision plus a floor of a few roundings. With --data the predictions are compared too.

    Exit codes: 0 within budget, 1 outside it, 2 unusable input.
    """
    from attnexport.accuracy.check import check
    from attnexport.accuracy.data import data_batches, generated_batches
    from attnexport.accuracy.report import as_json, table, task_line
    from attnexport.backends.onnxruntime import OnnxRuntimeBackend
    from attnexport.graph.inspection import inspect_model
    from attnexport.graph.metadata import source_hash

    check_output(json_path)
    check_not_same(json_path, model, onnx_file, data, given["weights"])
    loaded = load(options_of(model, given))
    facts = inspect_model(onnx_file)
    backend = OnnxRuntimeBackend(onnx_file)
    program = loaded.program
    if data is None:
        batches = generated_batches(program, seeds)
    else:
        batches = data_batches(program, data, dim_names=loaded.dim_names)
    with out().status("running"):
        report = check(program, backend, batches, compare_task=data is not None)
    out().print(table(report))
    line = task_line(report)
    if line:
        out().print(line)
    notes = list(report.notes)
    written_for = facts.metadata.get("source_hash")
    if written_for is not None and written_for != source_hash(program):
        notes.append(f"{onnx_file} was converted from another model, or from other weights, than {model}")
    for note in notes:
        out().print(f"note: {note}")
    if json_path is not None:
        write_json(
            json_path,
            {
                "model": str(model),
                "model_sha256": loaded.sha256,
                "file": str(onnx_file),
                "file_sha256": facts.sha256,
                **as_json(report),
                "notes": notes,
            },
        )
    for output in report.outputs:
        if not output.passed:
            click.echo(f"attnexport: {output.failure}", err=True)
    if not report.passed:
        raise SystemExit(1)
