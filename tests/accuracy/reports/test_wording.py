"""Numbers as reports spell them."""

from __future__ import annotations

import math

import pytest

from attnexport.accuracy.check.budget import Budget, beyond
from attnexport.accuracy.reports.verdicts import share_of_budget
from attnexport.accuracy.reports.wording import budgets, number, seconds, share, used
from tests.accuracy.reports.made_reports import failing_report


@pytest.mark.parametrize(
    ("value", "digits", "spelled"),
    [
        (0.0, 3, "0"),
        (1.23456e-7, 3, "1.23e-07"),
        (-12.3456, 3, "-12.3"),
        (65504.0, 3, "65,504"),
        (1234.5678, 9, "1,234.56780"),
        (-999999.0, 3, "-999,999"),
        (1e6, 3, "1e+06"),
        (math.nan, 3, "NaN"),
        (-math.inf, 3, "-∞"),
    ],
)
def test_numbers(value: float, digits: int, spelled: str):
    assert number(value, digits) == spelled


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.5, "50 %"), (3.25, "3.25 times"), (900.0, "900 times"), (math.inf, "∞")],
)
def test_shares(value: float, spelled: str):
    assert share(value) == spelled


@pytest.mark.parametrize(
    "value", [1.0000001, 1.004, 1.2, 9.999, 99.96, 987.6, 999.7, 31130.4, 101491.2, 999999.7, 2.3e7]
)
def test_a_figure_outside_the_budget_reads_alike_in_table_verdict_error_and_report(value: float):
    (_, error) = beyond(Budget(torch_error=0.0, floor=1.0), value, 0.0)
    read = {
        float(found.replace(",", ""))
        for found in (
            share(value).removesuffix(" times"),
            share_of_budget(value).removesuffix(" times its budget"),
            budgets(value).removesuffix(" ×"),
            error.removeprefix("is ").removesuffix(" times the allowed 1"),
        )
    }
    assert len(read) == 1
    assert min(read) > 1


def test_budget_used_is_no_number_where_it_means_nothing():
    spelled = {kind.kind: used(kind) for kind in failing_report().contenders[1].outputs[0].kinds}
    assert (spelled["large"], spelled["one-hot"], spelled["normal"]) == ("not finite", "not judged", "70 %")


def test_durations_and_amounts():
    assert [seconds(value) for value in (0.0123, 2.5, 99.96, 754.0)] == ["12.3 ms", "2.5 s", "100 s", "12 min 34 s"]
