"""``attnexport quantize``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.calibration.options import AWQ, BACKENDS, METHODS, SCHEME_NAMES, keep_option, refuse_unfit_options
from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, OutputPath, refuse_unread
from attnexport.display.amounts import percent
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import ONNX
from attnexport.files.outputs import check_not_same, check_output
from attnexport.messages import count

if TYPE_CHECKING:
    from attnexport.calibration.quantizing import Quantization


@click.command(name="quantize")
@click.argument("model", metavar="MODEL.onnx", type=PATH)
@click.option("-o", "--output", required=True, type=OutputPath(ONNX), help="The ONNX file to write.")
@click.option("--to", required=True, type=Choice(SCHEME_NAMES), help="What layers are quantized to.")
@click.option("--data", type=PATH, help="An .npz or a folder of them: arrays by input name.")
@click.option("--ranges", type=PATH, metavar="FILE", help="What calibrate wrote, in place of data.")
@click.option("--backend", type=Choice(BACKENDS), default=BACKENDS[0], show_default=True, help="Whose scales.")
@click.option("--method", type=Choice((*METHODS, AWQ)), default=METHODS[0], show_default=True, help="How they are chosen.")  # fmt: skip  # noqa: E501
@click.option("--samples", type=int, metavar="N", help="Run N rows of the data. Default: all.")
@click.option("--keep", multiple=True, metavar="PATTERN[=TYPE]", help="Layers that are not quantized, and in what they compute: blocks.0.*=fp16. Repeatable.")  # fmt: skip  # noqa: E501
@click.option("--block", type=int, metavar="N", help="Weights that share a scale in int4-weights. Default: 32.")
@click.option("--per-channel/--per-tensor", default=True, help="A scale for each output of a weight of 8 bits, or one. Default: for each.")  # fmt: skip  # noqa: E501
@click.option("--target", metavar="NAME", help="Refuse types that this device's TensorRT lacks, as rtx-40.")
@debug_option
@report_errors
def command(
    model: Path,
    output: Path,
    to: str,
    data: Path | None,
    ranges: Path | None,
    backend: str,
    method: str,
    samples: int | None,
    keep: tuple[str, ...],
    block: int | None,
    per_channel: bool,
    target: str | None,
) -> None:
    """Quantize an ONNX file: Q/DQ nodes around its layers, scales from data, without a GPU.

    Products with constant weights are quantized. Attention, norms and residual sums keep the types that they have, and
    attention nodes their bodies.
    """
    kept = keep_option(keep)
    refuse_unfit_options(
        model,
        to=to,
        method=method,
        samples=samples,
        data=data,
        ranges=ranges,
        keep=kept,
        block=block,
        backend=backend,
        per_channel=per_channel,
        target=target,
    )
    if data is None and backend == BACKENDS[0]:
        refuse_unread(("method", "samples"), expected="--data", given=f"--to {to}" if ranges is None else "--ranges")
    check_output(output)
    check_not_same(output, model, data, ranges)

    with progress("loading") as follow:
        from attnexport.calibration.quantizing import quantize

        made = quantize(
            model,
            output,
            to=to,
            data=data,
            method=method,
            samples=samples,
            ranges=ranges,
            keep=kept,
            block=block,
            backend=backend,
            per_channel=per_channel,
            target=target,
            progress=follow,
        )
    out().print(_facts(made))
    show_notes(made.notes)
    share = made.parameters[0] / made.parameters[1]
    said = f"{made.precision}, {count(len(made.layers), 'layer')} with {percent(share)} of the weights"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))


def _facts(made: Quantization) -> Facts:
    facts = Facts()
    for scheme, layers in Counter(made.layers.values()).items():
        facts.add("quantized", f"{count(layers, 'layer')} to {scheme}")
    if made.kept:
        facts.add("kept", ", ".join(made.kept))
    if made.ranges is not None:
        facts.add("ranges", f"{made.ranges.method} of {count(made.ranges.samples, 'sample')}")
    facts.add("SHA-256", made.sha256)
    return facts
