"""A check as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from attnexport.accuracy.check.findings import Hazard
from attnexport.accuracy.check.results import CheckReport, ContenderResult
from attnexport.accuracy.contenders.facts import Failure
from attnexport.accuracy.errors.measures import KindErrors, OutputErrors
from attnexport.accuracy.reports import wording
from attnexport.accuracy.reports.html.histogram_plot import HistogramPlot, histogram_plot
from attnexport.accuracy.reports.html.layer_plot import LayerPlot, layer_plot
from attnexport.accuracy.reports.html.model_picture import NARROW, WIDE, ModelPicture, model_picture
from attnexport.accuracy.reports.html.pages import render_page

MOST_HISTOGRAMS = 3
"""Of an output that are shown at once; the others are folded."""


@dataclass(frozen=True)
class Histograms:
    """Histograms of one output.

    Attributes:
        output: its name.
        shown: of the kinds of inputs that use most of their budget.
        others: of the other kinds.
    """

    output: str
    shown: tuple[HistogramPlot, ...]
    others: tuple[HistogramPlot, ...]


@dataclass(frozen=True)
class ContenderView:
    """A contender beside what is drawn of it.

    Attributes:
        name: without folders that it does not need.
        pictures: of the model for wide and for narrow screens, empty where no layer was compared.
        decimals: of the values of its worst examples.
    """

    result: ContenderResult
    name: str
    facts: dict[str, str]
    pictures: tuple[ModelPicture, ...]
    layers: LayerPlot | None
    histograms: tuple[Histograms, ...]
    decimals: int | None

    @property
    def worst(self) -> tuple[OutputErrors, KindErrors] | None:
        """The output and kind that use most of their budget."""
        pairs = [(output, output.worst_kind) for output in self.result.outputs]
        return max(pairs, key=lambda pair: pair[1].share, default=None)

    @property
    def rounded(self) -> bool:
        """Whether a budget comes from random rounding, because that moves the result further than PyTorch errs."""
        kinds = [kind for output in self.result.outputs for kind in output.kinds]
        return any(kind.budget is not None and kind.budget.unstable for kind in kinds)


@dataclass(frozen=True)
class HazardGroup:
    """Hazards of one name, which have their limit and meaning in common."""

    hazards: tuple[Hazard, ...]

    @property
    def first(self) -> Hazard:
        """One of them."""
        return self.hazards[0]

    @property
    def largest(self) -> Hazard:
        """The largest of them."""
        return max(self.hazards, key=lambda hazard: hazard.value)

    @property
    def reached(self) -> int:
        """How many are beyond their limit."""
        return sum(hazard.reached for hazard in self.hazards)


def render(report: CheckReport) -> str:
    """The page, to be written as UTF-8. Names from files are text in it, never markup."""
    names = wording.short_names(list(dict.fromkeys(result.facts.name for result in report.contenders)))
    outputs = dict.fromkeys(output.name for result in report.contenders for output in result.outputs)
    return render_page(
        "page.html.jinja",
        report=report,
        title=PurePath(report.model.name).name or report.model.name,
        contenders=[_view(report, result, names[result.facts.name]) for result in report.contenders],
        names=names,
        failures=_causes_first(report),
        output_names=list(outputs),
        hazards=_hazard_groups(report.hazards),
    )


def _causes_first(report: CheckReport) -> list[Failure]:
    """What is wrong: of each contender the layer where it begins, where that was found, before what follows from it."""
    found: list[Failure] = []
    for result in report.contenders:
        found += sorted(result.failures, key=lambda failure: not failure.where.startswith("layer "))
    return found


def _hazard_groups(hazards: Sequence[Hazard]) -> list[HazardGroup]:
    """By name, those that were reached first."""
    groups = [
        HazardGroup(tuple(hazard for hazard in hazards if hazard.name == name))
        for name in dict.fromkeys(hazard.name for hazard in hazards)
    ]
    return sorted(groups, key=lambda group: not group.reached)


def _view(report: CheckReport, result: ContenderResult, name: str) -> ContenderView:
    bisection = result.bisection
    pictures = (
        () if bisection is None else (model_picture(report.model.layers, bisection, width) for width in (WIDE, NARROW))
    )
    worst = [example for output in result.outputs for example in output.worst_kind.worst]
    return ContenderView(
        result=result,
        name=name,
        facts=wording.contender_facts(result),
        pictures=tuple(picture for picture in pictures if picture is not None),
        layers=None if bisection is None else layer_plot(bisection),
        histograms=tuple(_histograms(output) for output in result.outputs),
        decimals=wording.decimals_for(
            value for example in worst for value in (example.given, example.reference, example.torch)
        ),
    )


def _histograms(output: OutputErrors) -> Histograms:
    """Those of kinds that are outside and of the one that uses most of its budget, a few of them, and the others."""
    kinds = sorted(output.kinds, key=lambda kind: (-kind.share, -kind.relative_l2))
    plots = [plot for kind in kinds if (plot := histogram_plot(kind)) is not None]
    most = min(max(sum(not kind.passed for kind in kinds), 1), MOST_HISTOGRAMS)
    return Histograms(output.name, shown=tuple(plots[:most]), others=tuple(plots[most:]))
