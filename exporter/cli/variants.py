"""``attnexport variants``."""

from __future__ import annotations

import click

from attnexport.cli.console import debug_option, out, report_errors, titled


@click.command(name="variants")
@debug_option
@report_errors
def command() -> None:
    """Show the attention variants: formula, cost, paper and ONNX operator."""
    from attnexport.variants.descriptions import ONNX_DOMAIN, descriptions

    table = titled("Attention variants", "variant", "formula", "cost per head", "paper", "ONNX operator")
    for variant in descriptions():
        table.add_row(
            f"{variant.title} ({variant.name})",
            variant.formula,
            variant.cost,
            variant.paper,
            f"{ONNX_DOMAIN}::{variant.op_type}",
        )
    out().print(table)
