"""What tune found, as tables for people."""

from __future__ import annotations

from attnexport.calibration.tuning.result import Tuning
from attnexport.calibration.tuning.wording import drop_text
from attnexport.display.amounts import percent, size
from attnexport.display.columns import Cell, Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.terminal import Style

_PLANS = (
    Column("layers", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("weights", Kind.NUMBER, Importance.MUCH),
    Column("error", Kind.NUMBER, Importance.MUCH),
    Column("drop", Kind.NUMBER, Importance.MUCH),
    Column("ms", Kind.NUMBER, Importance.LITTLE),
    Column("verdict", Kind.NAME, Importance.MUCH),
)


def layers_table(found: Tuning) -> Table:
    """The layers, what each is in, and what each candidate does to the outputs where it is the only one quantized."""
    columns = (
        Column("layer", Kind.NAME, Importance.NAMES_THE_ROW),
        Column("scheme", Kind.NAME, Importance.MUCH),
        Column("weights", Kind.NUMBER, Importance.LITTLE),
        *(Column(f"{name} alone", Kind.NUMBER, Importance.SOME) for name in found.candidates),
        Column("largest drop", Kind.NUMBER, Importance.LITTLE),
    )
    shown = Table("Error of the outputs with one layer in a candidate, the others floating", columns)
    total = sum(layer.parameters for layer in found.layers)
    for layer in found.layers:
        errors = [f"{layer.alone[name].error:.1e}" if name in layer.alone else "" for name in found.candidates]
        share = percent(layer.parameters / total)
        shown.add(layer.name, layer.candidate or "none", share, *errors, drop_text(layer.largest_drop))
    return shown


def plans_table(found: Tuning) -> Table:
    """Files that no other beats in size and error, and those in which all layers are in one candidate."""
    told = [plan for plan in found.plans if plan.on_front or plan.title != "mixed" or plan.rejected]
    shown = Table("Whole files: those that no other beats in size and error, and those in one candidate", _PLANS)
    for plan in told:
        verdict = Cell("holds", Style.GOOD) if plan.holds else Cell("beyond", Style.BAD)
        if found.chosen is not None and plan.candidates == found.chosen.candidates:
            verdict = Cell("CHOSEN", Style.GOOD)
        elif plan.rejected:
            verdict = Cell("too slow", Style.BAD)
        ms = "" if plan.milliseconds is None else f"{plan.milliseconds:.3f}"
        error, drop = f"{plan.measured.error:.1e}", drop_text(plan.measured.drop)
        shown.add(plan.title, size(plan.weight_bytes), error, drop, ms, verdict)
    return shown
