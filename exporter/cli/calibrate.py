"""``attnexport calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.calibration.options import METHODS, UNFINISHED, refuse_unfit_calibration, refuse_unfit_merge
from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, OutputPath, refuse_unread
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import JSON
from attnexport.files.outputs import check_not_same, check_output, sha256
from attnexport.messages import count

if TYPE_CHECKING:
    from attnexport.calibration.ranges import Ranges


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
    if data is None:
        refuse_unread(("method", "samples"), expected="--data", given="none")
    check_output(output)
    check_not_same(output, model, data, *merge)

    with progress("loading") as follow:
        from attnexport.calibration.observing import observe
        from attnexport.calibration.ranges import merged, parts_of

        parts = parts_of(model, merge)
        unfinished = output.with_name(f"{output.name}{UNFINISHED}")
        if data is not None:
            if parts:
                _refuse_beside(parts, data, method)
            found = observe(model, data, method=method, samples=samples, unfinished=unfinished, progress=follow)
            parts = (*parts, found)
        ranges = merged(parts)
    ranges.save(output)
    if data is not None:
        unfinished.unlink(missing_ok=True)
    show_notes(parts[-1].notes)
    said = f"{count(len(ranges.tensors), 'range')} by {ranges.method} of {count(ranges.samples, 'sample')}"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))


def _refuse_beside(parts: tuple[Ranges, ...], data: Path, method: str) -> None:
    """Refuses ranges that those of a run could not be merged with, before it runs."""
    from attnexport.calibration.ranges import Ranges, refuse_unfit_parts

    digests = tuple(sha256(file) for file in data_files(data))
    refuse_unfit_parts([*parts, Ranges(parts[0].model_sha256, digests, method, samples=0, tensors={})])
