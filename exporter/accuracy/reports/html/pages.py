"""The templates of pages, in which every text from a file stays text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from attnexport.accuracy.reports import wording
from attnexport.accuracy.reports.html.share_scale import MARK, length
from attnexport.messages import count
from attnexport.printable import printable

_OURS = "attnexport.accuracy.reports.html"


def render_page(template: str, *, package: str = _OURS, **values: Any) -> str:
    """A page, to be written as UTF-8.

    Args:
        template: its name.
        package: in whose folder ``templates`` it is; what it extends or imports may be in this one's. Default: this.
        values: of its variables.
    """
    return _environment(package).get_template(template).render(**values) + "\n"


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in dict.fromkeys((package, _OURS))]),
        autoescape=True,
        finalize=_finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(wording=wording, count=count, gauge_mark=f"{100 * MARK:.1f}")
    environment.filters.update(
        number=wording.number,
        sci=wording.scientific,
        fixed=wording.fixed,
        budgets=wording.budgets,
        angle=wording.angle,
        seconds=wording.seconds,
        px="{:.1f}".format,
        gauge_width=lambda share: f"{100 * length(share):.1f}",
        breakable=_breakable,
    )
    return environment


def _breakable(name: str) -> Markup:
    """A name that may go on in the next line behind dots, slashes and underscores."""
    return Markup("<wbr>").join(re.split(r"(?<=[./_])", printable(name)))


def _finalized(value: object) -> object:
    """Every text that a template shows; markup is the templates' own."""
    return printable(value) if type(value) is str else value
