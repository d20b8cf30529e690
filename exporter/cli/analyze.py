"""``attnexport analyze``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnexport.cli.console import debug_option, out, report_errors, write_json
from attnexport.cli.model import load, model_options, options_of
from attnexport.cli.untrusted import OUTPUT, strangers_in_a_child
from attnexport.files.outputs import check_output, replacing
from attnexport.models.state.choices import AS_NEEDED


def _sizes(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        sizes = tuple(dict.fromkeys(int(part) for part in value.split(",")))
    except ValueError:
        raise click.BadParameter(f"expected whole numbers with commas, given {value!r}") from None
    if min(sizes) < 1:
        raise click.BadParameter(f"expected numbers of 1 or more, given {value!r}")
    return sizes


@click.command(name="analyze")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="An .npz of inputs, or a folder of them.")
@click.option("--n", "sizes", default="2,4,8", show_default=True, callback=_sizes, help="Selection sizes.")
@click.option("--rows", type=click.IntRange(min=1), default=8, show_default=True, help="Query rows a sample.")
@click.option("--samples", type=click.IntRange(min=1), default=64, show_default=True, help="Samples to read.")
@click.option("--distance", type=click.Choice(["euclidean", "cosine"]), default="euclidean", show_default=True)
@click.option("--json", "json_path", type=OUTPUT, help="Write the figures here.")
@click.option("--png", "png_path", type=OUTPUT, help="Draw a heat map here.")
@model_options
@debug_option
@report_errors
@strangers_in_a_child
def command(
    model: Path,
    data: Path,
    sizes: tuple[int, ...],
    rows: int,
    samples: int,
    distance: str,
    json_path: Path | None,
    png_path: Path | None,
    **given: Any,
) -> None:
    """Geometry of top-N selections per layer and head.

    Precision, recall, F and margin of the N most attended keys in value space (arXiv 2602.01893, as restated in
    2609.37879), beside random selections of the same size, and each head's regime by a rule of ours.
    """
    from attnexport.accuracy.inputs.files import data_batches
    from attnexport.analysis.heads import HeadStatistics
    from attnexport.analysis.json_report import as_json
    from attnexport.analysis.layers import visit_attention
    from attnexport.analysis.report import RULE_NOTE, draw_heat_map, table
    from attnexport.errors import InputError

    check_output(json_path)
    check_output(png_path)
    loaded = load(options_of(model, given)).without_state(AS_NEEDED)
    statistics = HeadStatistics(sizes, rows=rows, distance=distance)
    read = 0
    with out().status("running"):
        for batch in data_batches(loaded, data, limit=samples):
            visit_attention(loaded, batch.tensors, statistics.add)
            read += batch.rows
    reports = statistics.reports()
    if not reports:
        raise InputError(
            f"{model}: expected attention layers (attnexport's or scaled_dot_product_attention), found none"
        )
    out().print(table(reports))
    out().print(f"{read} samples. {RULE_NOTE}")
    if json_path is not None:
        write_json(json_path, as_json(reports, samples=read, distance=distance))
    if png_path is not None:
        with replacing(png_path) as staging:
            draw_heat_map(reports, sizes[len(sizes) // 2], staging / png_path.name)
