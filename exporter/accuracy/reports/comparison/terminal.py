"""A comparison as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from attnexport.accuracy.comparing.comparison import BETTER, WORSE, Comparison
from attnexport.accuracy.reports.comparison.wording import (
    Group,
    changed,
    groups_of,
    hazards_of,
    headline,
    layers_sentence,
    spelled,
)
from attnexport.display.columns import Cell, Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.terminal import Style
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.messages import count

_STYLES = {WORSE: Style.BAD, BETTER: Style.GOOD}


def shown(comparison: Comparison) -> Iterator[Table | str]:
    """Tables of what changed, and lines about the rest."""
    for contender in comparison.contenders:
        name = contender.name
        if contender.before_name != name:
            name = f"{contender.before_name}, now {name}"
        yield f"{name}: {contender.before} before, {contender.after} after: {contender.change}"
        for group in groups_of(contender):
            yield from _group(group)
        if first := layers_sentence(contender):
            yield first
        yield from (f"new: {line}" for line in contender.failures)
    yield from _group(hazards_of(comparison))
    yield from (f"only after: {name}" for name in comparison.new)
    yield from (f"only before: {name}" for name in comparison.gone)


def _group(group: Group) -> Iterator[Table | str]:
    if group.changed:
        columns = (
            Column(group.title, Kind.NAME, Importance.NAMES_THE_ROW),
            Column("before", Kind.NUMBER, Importance.MUCH),
            Column("after", Kind.NUMBER, Importance.MUCH),
            Column("change", Kind.NAME, Importance.MUCH),
        )
        table = Table(f"{group.title.capitalize()}, {group.figures}", columns)
        for row in group.changed:
            said = Cell(changed(row), _STYLES.get(row.change, Style.PLAIN))
            table.add(row.name, spelled(row.before, group.figures), spelled(row.after, group.figures), said)
        yield table
    if group.alone:
        yield f"{group.title}: {count(len(group.alone), 'figure')} of one run alone"
    if group.same:
        yield f"{group.title}: {count(len(group.same), 'figure')} the same"


def verdict(comparison: Comparison) -> Verdict:
    """The last line."""
    if not comparison.contenders:
        return Verdict(Outcome.UNJUDGED, comparison.after.source, headline(comparison))
    if comparison.passed:
        said = f"nothing that passed now fails; {headline(comparison)}"
        return Verdict(Outcome.PASSED, comparison.after.source, said)
    return Verdict(Outcome.FAILED, comparison.after.source, headline(comparison))
