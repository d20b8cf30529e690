"""``attnexport targets``."""

from __future__ import annotations

import click
from rich.table import Table

from attnexport.cli.console import debug_option, out, report_errors


@click.command(name="targets")
@debug_option
@report_errors
def command() -> None:
    """Show the devices that --target knows: SM, CUDA, TensorRT, opset, plugin interface and precisions."""
    from attnexport.targets import TARGETS

    table = Table(title="Targets", title_justify="left")
    for heading in ("target", "SM", "CUDA", "TensorRT", "opset", "plugins", "precisions", "shared"):
        table.add_column(heading)
    for target in TARGETS.values():
        table.add_row(
            target.name,
            " ".join(map(str, target.sms)),
            target.cuda,
            target.tensorrt,
            str(target.opset),
            target.plugin_api or "none",
            " ".join(target.precisions),
            f"{target.shared_kib} KiB",
        )
    out().print(table)
    for source in dict.fromkeys(target.source for target in TARGETS.values()):
        names = ", ".join(target.name for target in TARGETS.values() if target.source == source)
        out().print(f"{names}: {source}")
