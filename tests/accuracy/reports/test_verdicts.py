"""The last lines of a check: a share of the budget, or what is wrong where that is not its size."""

from __future__ import annotations

import pytest

from attnexport.accuracy.reports.verdicts import share_of_budget, verdicts
from attnexport.display.verdicts import Outcome
from tests.accuracy.reports import made_reports


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 % of its budget"),
        (0.004, "less than 1 % of its budget"),
        (0.384, "38 % of its budget"),
        (0.9996, "100 % of its budget"),
        (1.0, "100 % of its budget"),
        (1.0000001, "1.0000001 times its budget"),
        (1.2, "1.2 times its budget"),
        (987.6, "988 times its budget"),
        (31130.4, "31,130 times its budget"),
        (2.3e7, "2.3e+07 times its budget"),
    ],
)
def test_a_share_has_the_digits_that_say_something_and_none_above_one_reads_one(share: float, said: str):
    assert share_of_budget(share) == said


def test_several_contenders_have_a_line_each_and_one_for_all():
    single, half, every = map(str, verdicts(made_reports.failing_report()))
    assert single.startswith("PASSED vit.onnx: 20 % of its budget; not judged: logits on one-hot")
    assert half.startswith("FAILED vit.fp16.onnx: output logits, large inputs at ")
    assert "values that are NaN or infinite" in half
    assert every.startswith("FAILED vit.pt2: 1 of 2 contenders failed")


def test_one_contender_has_one_line():
    (line,) = verdicts(made_reports.passing_report())
    assert (line.outcome, line.subject) == (Outcome.PASSED, "vit.onnx")


def test_what_only_warns_does_not_say_failed():
    words = [line.outcome for line in verdicts(made_reports.failing_report(), Outcome.WARNED)]
    assert words == [Outcome.PASSED, Outcome.WARNED, Outcome.WARNED]


def test_the_first_layer_that_is_outside_is_named():
    *_, line = verdicts(made_reports.deep_report())
    assert ", first in model.language_model.decoder.layers.57.mlp.down_proj" in str(line)


def test_names_are_on_the_line_and_obey_nothing():
    for line in map(str, verdicts(made_reports.hostile_report())):
        assert line.isprintable()
