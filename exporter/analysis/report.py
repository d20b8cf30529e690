"""Head reports as a table and as a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from attnexport.analysis.heads import HeadReport
from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.printable import printable

FIGURES_NOTE = (
    "Keys lie near a selection or far from it by the distance of their weighted values from the sum of its n. "
    "Precision is n over n and the others within its reach, recall the share of its keys nearer than any other, F "
    "their harmonic mean, 1 where the selection stands apart."
)
"""What precision, recall and F say."""

RULE_NOTE = (
    "The regimes follow a rule of ours, not the paper's, which gives none. "
    "High F does not mean that a head is safe to prune: the accuracy check says that."
)


_COLUMNS = (
    Column("layer", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("head", Kind.NUMBER, Importance.NAMES_THE_ROW),
    Column("n", Kind.NUMBER, Importance.NAMES_THE_ROW),
    Column("precision", Kind.NUMBER, Importance.SOME),
    Column("recall", Kind.NUMBER, Importance.SOME),
    Column("F", Kind.NUMBER, Importance.MUCH),
    Column("margin", Kind.NUMBER, Importance.SOME),
    Column("sink", Kind.NUMBER, Importance.LITTLE),
    Column("local", Kind.NUMBER, Importance.LITTLE),
    Column("entropy", Kind.NUMBER, Importance.LITTLE),
    Column("output", Kind.NUMBER, Importance.LITTLE),
    Column("regime", Kind.NAME, Importance.MUCH),
)


def _pair(selected: float, random: float) -> str:
    return f"{selected:.2f} ({random:.2f})"


def table(reports: Sequence[HeadReport]) -> Table:
    """One row a head and selection size; figures of random selections in parentheses."""
    shown = Table("Geometry of top-N selections (random selections in parentheses)", _COLUMNS)
    for report in reports:
        for index, (n, selected) in enumerate(report.selected.items()):
            random = report.random[n]
            first = index == 0
            shown.add(
                report.layer if first else "",
                str(report.head) if first else "",
                str(n),
                _pair(selected.precision, random.precision),
                _pair(selected.recall, random.recall),
                _pair(selected.f_score, random.f_score),
                f"{selected.margin:+.3g} ({random.margin:+.3g})",
                *(
                    f"{value:.2f}" if first else ""
                    for value in (report.sink, report.local, report.entropy, report.output)
                ),
                report.regime if first else "",
            )
    return shown


def draw_heat_map(reports: Sequence[HeadReport], n: int, path: Path) -> None:
    """A PNG of F minus the random selections' F at size n: layers down, heads across, regimes as letters.

    Cells are grey where F is undefined.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = list(dict.fromkeys(report.layer for report in reports))
    heads = 1 + max(report.head for report in reports)
    values = [[math.nan] * heads for _ in layers]
    for report in reports:
        difference = report.selected[n].f_score - report.random[n].f_score
        values[layers.index(report.layer)][report.head] = difference
    labels = 0.09 * max(len(layer) for layer in layers)
    width = max(2.0 + labels + 0.5 * heads, 5.0 + labels)
    figure = Figure(figsize=(width, 1.8 + 0.4 * len(layers)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("0.8")
    image = axes.imshow(values, cmap="RdBu", vmin=-1.0, vmax=1.0, aspect="auto")
    for report in reports:
        letters = {"Retriever": "Rt", "Mixer": "Mx", "Reset": "Rs"}.get(report.regime, "–")
        row = layers.index(report.layer)
        color = "white" if abs(values[row][report.head]) > 0.6 else "black"
        axes.text(report.head, row, letters, ha="center", va="center", fontsize=9, color=color)
    axes.set_xticks(range(heads), [str(head) for head in range(heads)])
    axes.set_yticks(range(len(layers)), [printable(layer) for layer in layers], parse_math=False)
    axes.set_xlabel("head")
    axes.set_title(f"F at n = {n} minus that of random selections", fontsize=10)
    figure.suptitle("F is 1 where the selected keys stand apart from all others in value space", fontsize=8)
    figure.colorbar(image, ax=axes)
    figure.supxlabel("Rt Retriever, Mx Mixer, Rs Reset, – unclassified: a rule of ours", fontsize=8)
    figure.savefig(path, dpi=150, format="png")
