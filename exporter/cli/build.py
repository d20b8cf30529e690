"""``attnexport build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, OutputPath, Precision
from attnexport.display.amounts import size
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.engines.build_options import build_options
from attnexport.engines.names import manifest_path
from attnexport.files.kinds import ENGINE
from attnexport.files.shapes import shape_text
from attnexport.messages import count

if TYPE_CHECKING:
    from attnexport.engines.manifest import Manifest


@click.command(name="build")
@click.argument("model", metavar="MODEL.onnx", type=PATH)
@click.option(
    "-o", "--output", required=True, type=OutputPath(ENGINE), help="The engine to write: an .engine, .plan or .trt."
)
@click.option("--target", required=True, metavar="NAME", help="The device the engine is for, as rtx-40.")
@click.option("--plugins", type=PATH, metavar="LIB", help="The plugin library. Default: bodies run.")  # fmt: skip
@click.option("--shapes", multiple=True, metavar="X=MIN:OPT:MAX", help="Shapes of an input: x=1x16x64:8x128x64:32x1024x64. Repeatable. Default: the ranges in the file.")  # fmt: skip  # noqa: E501
@click.option("--precision", type=Precision(["fp32", "fp16", "bf16"]), help="Default: what the file holds.")
@click.option("--embed-plugins", is_flag=True, help="Put the plugin library into the engine.")
@click.option("--timing-cache", type=PATH, metavar="FILE", help="Read if it is there, written afterwards.")  # fmt: skip
@click.option("--backend", type=Choice(["tensorrt", "tensorrt_rtx", "native"]), help="Default: the target's.")
@debug_option
@report_errors
def command(
    model: Path,
    output: Path,
    target: str,
    plugins: Path | None,
    shapes: tuple[str, ...],
    precision: str | None,
    embed_plugins: bool,
    timing_cache: Path | None,
    backend: str | None,
) -> None:
    """Build an engine from an ONNX file, and write what it is beside it.

    Targets of TensorRT-RTX are built for ahead of time, without a GPU; others on the device. MODEL.onnx is looked at
    first, so that what cannot be built is said by its cause. The manifest beside it, OUT.engine.json, holds hashes,
    versions, shapes and the precision of every layer.
    """
    options = build_options(
        target=target,
        plugins=plugins,
        shapes=shapes,
        precision=precision,
        embed_plugins=embed_plugins,
        timing_cache=timing_cache,
        backend=backend,
    )
    options.check(model, output)

    with progress("loading") as follow:
        from attnexport.engines.building import build_engine

        manifest = build_engine(model, output, options, follow)
    out().print(_facts(output, manifest))
    show_notes(manifest.notes)
    said = f"{size(manifest.engine_bytes)} for {manifest.target}, {manifest.precision}, in {manifest.seconds:.1f} s"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))


def _facts(output: Path, manifest: Manifest) -> Facts:
    facts = Facts()
    facts.add("wrote", f"{output}, {size(manifest.engine_bytes)}, and {manifest_path(output)}")
    facts.add("built by", f"{manifest.builder.product} {manifest.builder.version} in {manifest.seconds:.1f} s")
    facts.add("target", f"{manifest.target}, SM {' '.join(map(str, manifest.sms))}")
    for name, profile in manifest.profiles.items():
        shapes = (profile.minimum, profile.optimum, profile.maximum)
        facts.add("shapes", f"{name} {' : '.join(map(shape_text, shapes))}")
    if manifest.plugin is not None:
        embedded = ", in the engine" if manifest.plugin.embedded else ""
        facts.add("plugins", f"{count(len(manifest.plugin_nodes), 'node')} run by {manifest.plugin.file}{embedded}")
    if manifest.body_nodes:
        facts.add("bodies", f"{count(len(manifest.body_nodes), 'attention node')} run through standard operators")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in manifest.precisions.items() if share >= 0.005)
    facts.add("precision", f"{manifest.precision}: {shares} of the outputs of the {manifest.layers_from}'s layers")
    facts.add("SHA-256", manifest.engine_sha256)
    return facts
