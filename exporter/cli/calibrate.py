"""``attnexport calibrate``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.calibration.options import METHODS, refuse_unfit_calibration
from attnexport.cli.console import debug_option, out, report_errors
from attnexport.cli.options import PATH, Choice, OutputPath
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import JSON
from attnexport.files.outputs import check_not_same, check_output
from attnexport.messages import count


@click.command(name="calibrate")
@click.argument("model", metavar="MODEL.onnx", type=PATH)
@click.option("--data", required=True, type=PATH, help="An .npz or a folder of them: arrays by input name.")
@click.option("-o", "--output", required=True, type=OutputPath(JSON), help="The JSON to write.")
@click.option("--method", type=Choice(METHODS), default="minmax", show_default=True, help="How ranges are chosen.")
@click.option("--samples", type=int, metavar="N", help="Run N rows of the data. Default: all.")
@debug_option
@report_errors
def command(model: Path, data: Path, output: Path, method: str, samples: int | None) -> None:
    """Run an ONNX file on data and keep the ranges of what its layers multiply, for quantize.

    The file runs in ONNX Runtime on the CPU.
    """
    refuse_unfit_calibration(model, data=data, method=method, samples=samples)
    check_output(output)
    check_not_same(output, model, data)

    with progress("loading") as follow:
        from attnexport.calibration.observing import calibrate

        ranges = calibrate(model, data, method=method, samples=samples, progress=follow)
    ranges.save(output)
    said = f"{count(len(ranges.tensors), 'range')} by {method} of {count(ranges.samples, 'sample')}"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))
