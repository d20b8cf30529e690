"""What tune found as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from pathlib import PurePath

from attnexport.accuracy.reports.html.pages import render_page
from attnexport.calibration.tuning.plots import SHAPES, sensitivity_plot, size_plot, time_plot
from attnexport.calibration.tuning.result import Tuning
from attnexport.calibration.tuning.wording import bounds_text, drop_text, effort, headline, resolution_lines
from attnexport.display.amounts import percent, size

_HERE = "attnexport.calibration.tuning"


def render(found: Tuning) -> str:
    """The page, to be written as UTF-8. Names from files are text in it, never markup."""
    total = sum(layer.parameters for layer in found.layers)
    return render_page(
        "tune.html.jinja",
        package=_HERE,
        found=found,
        title=PurePath(found.model).name,
        headline=headline(found),
        held=bounds_text(found.bounds, tuple(found.values)),
        resolution=list(resolution_lines(found)),
        effort=effort(found),
        shapes_of=dict(zip(found.candidates, SHAPES, strict=False)),
        shares={layer.name: percent(layer.parameters / total) for layer in found.layers},
        sensitivity=sensitivity_plot(found),
        sizes=size_plot(found),
        times=time_plot(found),
        size=size,
        drop_text=drop_text,
    )
