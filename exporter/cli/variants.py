"""``attnexport variants``."""

from __future__ import annotations

import click

from attnexport.cli.console import debug_option, out, report_errors
from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.verdicts import Outcome, Verdict

_COLUMNS = (
    Column("variant", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("title", Kind.NAME, Importance.MUCH),
    Column("ONNX operator", Kind.NAME, Importance.SOME),
    Column("formula", Kind.PROSE, Importance.LITTLE),
    Column("cost per head", Kind.PROSE, Importance.LITTLE),
    Column("paper", Kind.PROSE, Importance.LITTLE),
)


@click.command(name="variants")
@debug_option
@report_errors
def command() -> None:
    """Show the attention variants: formula, cost, paper and ONNX operator."""
    from attnexport.variants.descriptions import ONNX_DOMAIN, descriptions

    table = Table("Attention variants", _COLUMNS)
    for variant in descriptions():
        table.add(
            variant.name,
            variant.title,
            f"{ONNX_DOMAIN}::{variant.op_type}",
            variant.formula,
            variant.cost,
            variant.paper,
        )
    out().print(table)
    out().conclude(Verdict(Outcome.FOUND, "variants", ", ".join(variant.name for variant in descriptions())))
