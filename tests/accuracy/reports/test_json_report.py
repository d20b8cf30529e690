"""The check's JSON: every field of a report, under its documented name."""

from __future__ import annotations

import dataclasses
import json
import math

from attnexport.accuracy.reports.json_report import as_json
from tests.accuracy.reports.made_reports import failing_report, full_report, passing_report
from tests.files.documented_json import assert_documented, assert_holds, never_set

MORE = {"CheckReport.schema", "Failure.line"}
"""Keys that are neither fields nor properties."""


def test_every_field_of_a_report_is_in_json():
    report = full_report()
    assert not never_set(report)
    assert_holds(as_json(report), report, more=MORE)


def test_every_key_is_documented():
    written = as_json(full_report())
    assert written["schema"] == "attnexport.check/1"
    assert_documented(written)


def test_json_has_what_follows_from_the_fields():
    report = failing_report()
    _, half = as_json(report)["contenders"]
    result = report.contenders[1]
    assert half["failures"][0]["line"] == str(result.failures[0])
    assert half["verdict"] == result.verdict
    assert half["metrics"][0]["drop"] == result.metrics[0].drop
    worst = half["outputs"][0]["kinds"][0]
    assert worst["worst"][0]["error"] == abs(worst["worst"][0]["given"] - worst["worst"][0]["reference"])
    assert worst["budget"]["limit"] == 2 * worst["budget"]["torch_error"] + worst["budget"]["floor"]
    assert worst["share"] == worst["largest_error"] / worst["budget"]["limit"]


def test_what_was_not_asked_for_is_null_or_empty():
    (result,) = as_json(passing_report())["contenders"]
    assert [result[name] for name in ("predictions", "repeatability", "bisection")] == [None, None, None]
    assert [result[name] for name in ("failures", "metrics", "builds", "notes")] == [[], [], [], []]


def test_numbers_that_are_not_finite_are_text():
    report = failing_report()
    times = dataclasses.replace(report.times, reference=math.nan, yardsticks=math.inf, total=-math.inf)
    written = as_json(dataclasses.replace(report, times=times))
    assert list(written["times"].values()) == ["nan", "inf", "-inf", 9]
    assert json.loads(json.dumps(written, allow_nan=False)) == written
