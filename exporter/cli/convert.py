"""``attnexport convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.model import ModelOptions, load, model_options
from attnexport.cli.options import PATH, Choice, OutputPath, grouped
from attnexport.cli.untrusted import strangers_in_a_child
from attnexport.conversion.options import NODE_CHOICES, chosen_target
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import ONNX
from attnexport.files.outputs import check_not_same, check_not_twice, check_output
from attnexport.messages import count
from attnexport.models.state.choices import REFUSE, STATE_CHOICES

if TYPE_CHECKING:
    from attnexport.conversion.converting import Conversion


@click.command(name="convert")
@click.argument("model", type=PATH, required=False)
@click.option("-o", "--output", required=True, type=OutputPath(ONNX), help="The ONNX file to write.")
@model_options
@click.option("--opset", type=int, help="ONNX opset, 17 to 23. Default: the target's, or 20, or 22 for bfloat16.")
@click.option("--target", metavar="NAME", help="The device the file is for, as jetson-orin-jp6.2.")
@click.option(
    "--nodes",
    type=Choice(NODE_CHOICES),
    default="auto",
    show_default=True,
    help="Keep a node per attention call for a plugin, or write its body in its place; auto asks the target.",
)
@click.option(
    "--state",
    type=Choice(STATE_CHOICES),
    default=REFUSE,
    show_default=True,
    help="Buffers that forward writes and later outputs depend on: name them, or make them inputs and outputs.",
)
@click.option("--keep-failed", type=OutputPath(ONNX), metavar="FILE", help="Keep a file that is wrong here.")
@click.option("--unproven", is_flag=True, help="Write a file that cannot be run here, with a note.")
@debug_option
@report_errors
@strangers_in_a_child
@grouped(source=ModelOptions)
def command(
    source: ModelOptions,
    output: Path,
    opset: int | None,
    target: str | None,
    nodes: str,
    state: str,
    keep_failed: Path | None,
    unproven: bool,
) -> None:
    """Convert a PyTorch model to ONNX and prove the file by running it.

    MODEL is a .pt2 (torch.export archive), or a .pt, .pth or .safetensors with weights for --model. Every
    attnexport operator becomes one node with a body of standard operators beside it; the file then runs through
    ONNX Runtime at the example's shape and, where dims are dynamic, at two others.
    """
    source.check()
    chosen_target(opset=opset, target=target, nodes=nodes)
    for path in (output, keep_failed):
        check_output(path)
        check_not_same(path, source.model, source.weights)
    check_not_twice(output, keep_failed)

    with progress("loading") as follow:
        from attnexport.conversion.converting import convert

        loaded = load(source)
        result = convert(
            loaded,
            None,
            output,
            opset=opset,
            target=target,
            nodes=nodes,
            state=state,
            keep_failed=keep_failed,
            unproven=unproven,
            progress=follow,
        )
    facts = Facts()
    facts.add("wrote", str(result.path))
    if result.data_path is not None:
        facts.add("weights", str(result.data_path))
    facts.add("opset", str(result.opset))
    for op_type, number in result.variants.items():
        facts.add("variant", f"{op_type} x {number}")
    for text in result.verified:
        facts.add("ran", text)
    facts.add("SHA-256", result.sha256)
    out().print(facts)
    show_notes(result.notes)
    out().conclude(Verdict(Outcome.WROTE, str(result.path), _said(result)))


def _said(result: Conversion) -> str:
    nodes = ", ".join(f"{number} {op_type}" for op_type, number in result.variants.items())
    ran = f"ran at {count(len(result.verified), 'shape')}" if result.verified else "not run"
    return f"opset {result.opset}, {nodes or 'standard operators alone'}, {ran}"
