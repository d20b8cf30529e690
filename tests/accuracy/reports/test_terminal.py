"""A check on the terminal, at every width: tables, lines, and of many layers those around the guilty one."""

from __future__ import annotations

import pytest

from attnexport.accuracy.reports.terminal import (
    LONGEST,
    contender_table,
    hazard_lines,
    inputs_line,
    layers_table,
    result_lines,
)
from attnexport.accuracy.reports.wording import angle
from attnexport.display.terminal import Terminal
from attnexport.display.wrapping import wrapped
from tests.accuracy.reports import made_reports
from tests.display.lines import TERMINALS, check_sentence, check_table

REPORTS = ("passing", "failing", "full", "deep", "hostile")


@pytest.mark.parametrize("terminal", TERMINALS, ids=str)
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_whole(name: str, terminal: Terminal):
    report = getattr(made_reports, f"{name}_report")()
    sentences = [*hazard_lines(report), inputs_line(report)]
    for result in report.contenders:
        check_table(contender_table(result), terminal)
        sentences += result_lines(result)
        if result.bisection is not None:
            check_table(layers_table(result.bisection), terminal)
    for sentence in sentences:
        check_sentence(wrapped(terminal.text(sentence), terminal.width, indent=2), sentence, terminal)


def test_of_many_layers_those_around_the_guilty_one_are_shown():
    (result,) = made_reports.deep_report().contenders
    assert result.bisection is not None
    table = layers_table(result.bisection)
    assert len(table.rows) == LONGEST < len(result.bisection.layers)
    verdicts = [row[-1].text for row in table.rows]
    assert verdicts.count("FIRST OUTSIDE") == 1
    assert {"within", "OUTSIDE"} <= set(verdicts)
    assert table.title.endswith(f", {LONGEST} of {len(result.bisection.layers)} tensors")


@pytest.mark.parametrize(
    ("cosine", "shown"), [(1.0, "< 1e-14"), (1 - 4e-12, "4.0e-12"), (0.5, "5.0e-01"), (-1.0, "2.0e+00")]
)
def test_a_cosine_is_shown_by_what_it_lacks_to_one(cosine: float, shown: str):
    assert angle(cosine) == shown
