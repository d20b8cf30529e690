"""``attnexport record``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.accuracy.inputs.options import InputOptions
from attnexport.accuracy.recorded.options import refuse_unfit_options
from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.inputs import input_options
from attnexport.cli.model import ModelOptions, load, model_options
from attnexport.cli.options import PATH, OutputPath, grouped
from attnexport.cli.untrusted import strangers_in_a_child
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import FOLDER
from attnexport.messages import count


@click.command(name="record")
@click.argument("model", type=PATH)
@click.option("-o", "--output", type=OutputPath(FOLDER), required=True, metavar="SET", help="A new folder.")
@click.option(
    "--precisions",
    default="fp32,fp16,bf16",
    show_default=True,
    metavar="PRECISION,…",
    help="Precisions to record error budgets for.",
)
@input_options
@model_options
@debug_option
@report_errors
@strangers_in_a_child
@grouped(source=ModelOptions, inputs=InputOptions)
def command(source: ModelOptions, inputs: InputOptions, output: Path, precisions: str) -> None:
    """Record inputs and reference outputs for a device without PyTorch.

    SET holds .npz files, the error budget at each precision, the hash of every file, and compare.py, which needs
    Python and NumPy alone and holds an engine's outputs to them.
    """
    wanted = [name.strip() for name in precisions.split(",")]
    source.check()
    inputs.check()
    refuse_unfit_options(output, wanted)

    with progress("loading") as follow:
        from attnexport.accuracy.recorded.recording import record

        recorded = record(
            load(source),
            output,
            **vars(inputs),
            precisions=wanted,
            progress=follow,
        )
    show_notes(recorded.notes)
    for kind in recorded.kinds:
        if kind.left_out:
            out().print(f"note: {kind.name} left out: {kind.left_out}")
    said = f"{count(recorded.batches, 'batch')}, budgets for {', '.join(recorded.precisions)}"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))
