"""``attnexport record``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnexport.cli.console import debug_option, out, report_errors
from attnexport.cli.inputs import chosen_inputs, input_options, options_of_inputs, progress_bar
from attnexport.cli.model import load, model_options, options_of
from attnexport.cli.untrusted import OUTPUT, strangers_in_a_child
from attnexport.errors import InputError
from attnexport.files.outputs import check_output
from attnexport.models.state.choices import AS_NEEDED


@click.command(name="record")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="SET", help="A new folder.")
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
def command(model: Path, output: Path, precisions: str, **given: Any) -> None:
    """Record inputs and reference outputs for a device without PyTorch.

    SET holds .npz files, the error budget at each precision, the hash of every file, and compare.py, which needs
    Python and NumPy alone and holds an engine's outputs to them.
    """
    from attnexport.accuracy.contenders.torch_runs import TorchRuns
    from attnexport.accuracy.recorded.writing import Source, record
    from attnexport.models.fitness import refuse_unfit
    from attnexport.models.precisions import chosen_precisions

    if output.exists():
        raise InputError(f"{output}: expected a new folder, given one that exists")
    check_output(output)
    wanted = chosen_precisions(precisions)
    loaded = load(options_of(model, given)).without_state(AS_NEEDED)
    refuse_unfit(loaded)
    runs = TorchRuns(loaded)
    inputs = chosen_inputs(loaded, options_of_inputs(given))
    source = Source(runs, model.name, loaded.sha256, inputs.seed)
    with progress_bar("recording") as progress:
        kinds = record(source, inputs.batches, wanted, output, left_out=inputs.left_out, progress=progress)
    for note in loaded.notes:
        out().print(f"note: {note}")
    for kind in kinds:
        if kind.left_out:
            out().print(f"note: {kind.name} left out: {kind.left_out}")
    batches = sum(kind.batches for kind in kinds)
    out().print(f"wrote {output}: {batches} batches, budgets for {', '.join(wanted)}")
