"""``attnexport targets``."""

from __future__ import annotations

import click

from attnexport.cli.console import debug_option, out, report_errors
from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.verdicts import Outcome, Verdict

_COLUMNS = (
    Column("target", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("SM", Kind.NAME, Importance.MUCH),
    Column("TensorRT", Kind.NAME, Importance.MUCH),
    Column("CUDA", Kind.NAME, Importance.SOME),
    Column("opset", Kind.NUMBER, Importance.MUCH),
    Column("highest", Kind.NUMBER, Importance.SOME),
    Column("plugins", Kind.NAME, Importance.SOME),
    Column("precisions", Kind.NAME, Importance.LITTLE),
    Column("shared", Kind.NUMBER, Importance.LITTLE),
)


@click.command(name="targets")
@debug_option
@report_errors
def command() -> None:
    """Show the devices that --target knows: SM, CUDA, TensorRT, opset, plugin interface and precisions."""
    from attnexport.targets import TARGETS

    table = Table("Targets", _COLUMNS)
    for target in TARGETS.values():
        table.add(
            target.name,
            " ".join(map(str, target.sms)),
            target.tensorrt,
            target.cuda,
            str(target.opset),
            str(target.highest_opset),
            target.plugin_api or "none",
            " ".join(target.precisions),
            f"{target.shared_kib} KiB",
        )
    out().print(table)
    for source in dict.fromkeys(target.source for target in TARGETS.values()):
        names = ", ".join(target.name for target in TARGETS.values() if target.source == source)
        out().print(f"{names}: {source}")
    out().conclude(Verdict(Outcome.FOUND, "targets", ", ".join(TARGETS)))
