"""A comparison as Markdown for a pull request: what changed first, the rest folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnexport.accuracy.comparing.comparison import BETTER, WORSE, Compared, ComparedContender, Comparison
from attnexport.accuracy.reports.comparison.wording import (
    Group,
    changed,
    groups_of,
    hazards_of,
    headline,
    layers_sentence,
    spelled,
)
from attnexport.accuracy.reports.markdown_text import cell, code, folded, plain, table

LONGEST = 30
"""Rows of a table or list; GitHub takes comments of up to 65536 characters."""

_MARKS = {WORSE: "🔻", BETTER: "🔺"}


def render(comparison: Comparison) -> str:
    """GitHub-flavoured Markdown. Names from files are text in it, never markup."""
    lines = [
        f"## {'✅' if comparison.passed else '❌'} {code(comparison.after.model)}: {plain(comparison.change)}",
        "",
        f"{plain(headline(comparison))}. Before: {code(comparison.before.source)}, "
        f"after: {code(comparison.after.source)}.",
        "",
    ]
    for contender in comparison.contenders:
        lines += _contender(contender)
    lines += _group(hazards_of(comparison), "### Hazards")
    for title, names in (("Only after", comparison.new), ("Only before", comparison.gone)):
        if names:
            lines += [f"{title}: {', '.join(code(name) for name in names)}.", ""]
    if comparison.notes:
        lines += ["Notes:", "", *(f"- {plain(note)}" for note in comparison.notes[:LONGEST]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _contender(contender: ComparedContender) -> Iterator[str]:
    outcome = contender.after if contender.before == contender.after else f"{contender.before} → {contender.after}"
    yield from (f"### {code(contender.name)}: {plain(contender.change)}", "", f"{plain(outcome)}.", "")
    yield from (f"- {plain(line)}" for line in contender.failures[:LONGEST])
    if contender.failures:
        yield ""
    first = layers_sentence(contender)
    if first:
        yield from (f"{plain(first[:1].upper() + first[1:])}.", "")
    for group in groups_of(contender):
        yield from _group(group, f"**{group.title.capitalize()}**")


def _group(group: Group, title: str) -> list[str]:
    if not group.rows:
        return []
    lines = [title, "", *(_table(group, group.changed) if group.changed else ["Nothing changed."]), ""]
    for what, rows in (("of one run alone", group.alone), ("the same", group.same)):
        if rows:
            lines += folded(f"{len(rows)} {what}", _table(group, rows))
    return lines


def _table(group: Group, rows: Sequence[Compared]) -> list[str]:
    headings = ("", group.title, "before:", "after:", "change")
    lines = table(
        headings,
        (
            (
                _MARKS.get(row.change, ""),
                cell(code(row.name)),
                plain(spelled(row.before, group.figures)),
                plain(spelled(row.after, group.figures)),
                plain(changed(row)),
            )
            for row in rows[:LONGEST]
        ),
    )
    left = len(rows) - LONGEST
    return [*lines, *(["", f"and {left} more"] if left > 0 else [])]
