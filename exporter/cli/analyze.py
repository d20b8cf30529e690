"""``attnexport analyze``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.model import ModelOptions, load, model_options
from attnexport.cli.options import PATH, Choice, OutputPath, grouped
from attnexport.cli.untrusted import strangers_in_a_child
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import JSON, PNG
from attnexport.files.outputs import check_not_same, check_not_twice, check_output, write_json
from attnexport.messages import count

_JSON = OutputPath(JSON, report=True)


def _sizes(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        sizes = tuple(dict.fromkeys(int(part) for part in value.split(",")))
    except ValueError:
        raise click.BadParameter(f"expected whole numbers with commas, given {value!r}") from None
    if min(sizes) < 1:
        raise click.BadParameter(f"expected numbers of 1 or more, given {value!r}")
    return sizes


@click.command(name="analyze")
@click.argument("model", type=PATH)
@click.option("--data", required=True, type=PATH, help="An .npz of inputs, or a folder of them.")
@click.option("--n", "sizes", default="2,4,8", show_default=True, callback=_sizes, help="Selection sizes.")
@click.option("--rows", type=click.IntRange(min=1), default=8, show_default=True, help="Query rows a sample.")
@click.option("--samples", type=click.IntRange(min=1), default=64, show_default=True, help="Samples to read.")
@click.option("--distance", type=Choice(["euclidean", "cosine"]), default="euclidean", show_default=True)
@click.option("--json", "json_path", type=_JSON, help="Write the figures here, or - for stdout.")
@click.option("--png", "png_path", type=OutputPath(PNG), help="Draw a heat map here.")
@model_options
@debug_option
@report_errors
@strangers_in_a_child
@grouped(source=ModelOptions)
def command(
    source: ModelOptions,
    data: Path,
    sizes: tuple[int, ...],
    rows: int,
    samples: int,
    distance: str,
    json_path: Path | None,
    png_path: Path | None,
) -> None:
    """Geometry of top-N selections per layer and head.

    Precision, recall, F and margin of the N most attended keys in value space (arXiv 2602.01893, as restated in
    2609.37879), beside random selections of the same size, and each head's regime by a rule of ours.
    """
    source.check()
    for path in (json_path, png_path):
        check_output(path)
        check_not_same(path, source.model, source.weights, data)
    check_not_twice(json_path, png_path)
    data_files(data)

    with progress("loading") as follow:
        from attnexport.analysis.analyzing import analyze
        from attnexport.analysis.report import FIGURES_NOTE, RULE_NOTE, table

        loaded = load(source)
        found = analyze(loaded, data, sizes=sizes, rows=rows, samples=samples, distance=distance, progress=follow)
    out().print(table(found.heads))
    out().print(FIGURES_NOTE)
    out().print(RULE_NOTE)
    show_notes(found.notes)
    if json_path is not None:
        write_json(json_path, found.as_json())
    if png_path is not None:
        found.draw(png_path)
    layers = count(len({head.layer for head in found.heads}), "layer")
    said = f"{count(len(found.heads), 'head')} in {layers}, {count(found.samples, 'sample')}"
    out().conclude(Verdict(Outcome.FOUND, loaded.name, said))
