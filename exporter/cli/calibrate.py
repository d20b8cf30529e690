"""``attnexport calibrate``."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from attnexport.calibration.options import METHODS, UNFINISHED, refuse_unfit_calibration, refuse_unfit_merge
from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, OutputPath
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.errors import InputError
from attnexport.files.kinds import JSON
from attnexport.files.outputs import check_not_same, check_output
from attnexport.messages import count


@click.command(name="calibrate")
@click.argument("model", metavar="MODEL.onnx", type=PATH)
@click.option("--data", type=PATH, help="An .npz or a folder of them: arrays by input name.")
@click.option("--merge", multiple=True, type=PATH, metavar="FILE", help="Ranges of the same file to put together with. Repeatable.")  # fmt: skip  # noqa: E501
@click.option("-o", "--output", required=True, type=OutputPath(JSON), help="The JSON to write.")
@click.option("--method", type=Choice(METHODS), default="minmax", show_default=True, help="How ranges are chosen.")
@click.option("--samples", type=int, metavar="N", help="Run N rows of the data. Default: all.")
@debug_option
@report_errors
def command(
    model: Path, data: Path | None, merge: tuple[Path, ...], output: Path, method: str, samples: int | None
) -> None:
    """Run an ONNX file on data and keep the ranges of what its layers multiply, for quantize.

    The file runs in ONNX Runtime on the CPU. A run that is stopped leaves what it collected beside the output, and the
    next goes on from there.
    """
    refuse_unfit_calibration(model, data=data, method=method, samples=samples)
    refuse_unfit_merge(data, merge)
    _refuse_without_data(data)
    check_output(output)
    check_not_same(output, model, data, *merge)

    with progress("loading") as follow:
        from attnexport.calibration.observing import calibrate
        from attnexport.calibration.ranges import merged_with

        ranges = None
        if data is not None:
            unfinished = output.with_name(f"{output.name}{UNFINISHED}")
            ranges = calibrate(model, data, method=method, samples=samples, unfinished=unfinished, progress=follow)
        notes = () if ranges is None else ranges.notes
        if merge or ranges is None:
            ranges = merged_with(model, merge, ranges)
    ranges.save(output)
    show_notes(notes)
    said = f"{count(len(ranges.tensors), 'range')} by {ranges.method} of {count(ranges.samples, 'sample')}"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))


def _refuse_without_data(data: Path | None) -> None:
    """Refuses options of a run where nothing is run."""
    context = click.get_current_context()
    for name in ("method", "samples"):
        if data is None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"--{name}: expected --data to run, given none")
