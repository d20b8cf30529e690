"""A check as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from attnexport.accuracy.check.results import CheckReport, ContenderResult
from attnexport.accuracy.errors.measures import KindErrors, OutputErrors
from attnexport.accuracy.reports import wording
from attnexport.accuracy.reports.html.histogram_plot import HistogramPlot, histogram_plot
from attnexport.accuracy.reports.html.layer_plot import LayerPlot, layer_plot
from attnexport.printable import printable


@dataclass(frozen=True)
class Histograms:
    """Histograms of one output.

    Attributes:
        output: its name.
        shown: of the kind of inputs that uses most of its budget, and of all that are outside.
        others: of the other kinds.
    """

    output: str
    shown: tuple[HistogramPlot, ...]
    others: tuple[HistogramPlot, ...]


@dataclass(frozen=True)
class ContenderView:
    """A contender beside what is drawn of it."""

    result: ContenderResult
    facts: dict[str, str]
    layers: LayerPlot | None
    histograms: tuple[Histograms, ...]

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


def render(report: CheckReport) -> str:
    """The page, to be written as UTF-8. Names from files are text in it, never markup."""
    views = [_view(result) for result in report.contenders]
    names = dict.fromkeys(output.name for result in report.contenders for output in result.outputs)
    page = _environment().get_template("page.html.jinja")
    return page.render(report=report, contenders=views, output_names=list(names)) + "\n"


def _view(result: ContenderResult) -> ContenderView:
    return ContenderView(
        result=result,
        facts=wording.contender_facts(result),
        layers=None if result.bisection is None else layer_plot(result.bisection),
        histograms=tuple(_histograms(output) for output in result.outputs),
    )


def _histograms(output: OutputErrors) -> Histograms:
    worst = output.worst_kind
    plots = [(plot, not kind.passed or kind is worst) for kind in output.kinds if (plot := histogram_plot(kind))]
    return Histograms(
        output.name,
        shown=tuple(plot for plot, shown in plots if shown),
        others=tuple(plot for plot, shown in plots if not shown),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__, "templates"),
        autoescape=True,
        finalize=_finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["wording"] = wording
    environment.filters.update(
        number=wording.number,
        share=wording.share,
        seconds=wording.seconds,
        px="{:.1f}".format,
        gauge_width=_gauge_width,
    )
    return environment


def _finalized(value: object) -> object:
    """Every text that a template shows; markup is the templates' own."""
    return printable(value) if type(value) is str else value


def _gauge_width(share: float) -> str:
    """Percent of a gauge that ends at one and a half budgets."""
    return f"{100 * min(share / 1.5, 1.0):.1f}" if share >= 0 else "0"
