"""JUnit XML: what CI systems read from it, and the rules that the published schemas share."""

from __future__ import annotations

import dataclasses
import math
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.reports.junit import WHOLE, render
from tests.accuracy.reports.made_reports import HOSTILE, failing_report, hostile_report, passing_report

# Per element: attributes that it must and may have, and its children in the order that the stricter schemas want.
SCHEMA = {
    "testsuites": ({}, {"name", "time", "tests", "failures", "errors"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "id", "package"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "properties": ({}, {}, ["property"]),
    "property": ({"name", "value"}, {}, []),
    "testcase": ({"name"}, {"classname", "time"}, ["skipped", "error", "failure", "system-out", "system-err"]),
    "failure": ({}, {"message", "type"}, []),
    "skipped": ({}, {"message", "type"}, []),
    "system-out": ({}, {}, []),
}


def read(report: CheckReport) -> Element:
    return ElementTree.fromstring(render(report).encode())


def case(root: Element, suite: str, name: str) -> Element:
    (found,) = [
        entry for entry in root.iter("testcase") if (entry.get("classname"), entry.get("name")) == (suite, name)
    ]
    return found


@pytest.mark.parametrize("made", [passing_report, failing_report, hostile_report])
def test_elements_follow_the_schema(made):
    for element in read(made()).iter():
        required, optional, children = SCHEMA[element.tag]
        assert set(required) <= set(element.keys()) <= {*required, *optional}
        places = [children.index(child.tag) for child in element]
        assert places == sorted(places)


def test_a_suite_a_contender_and_a_case_an_output():
    report = failing_report()
    root = read(report)
    assert [suite.get("name") for suite in root] == [result.facts.name for result in report.contenders]
    for suite, result in zip(root, report.contenders, strict=True):
        names = [entry.get("name") for entry in suite.iter("testcase")]
        assert names[: len(result.outputs)] == [output.name for output in result.outputs]
        assert {entry.get("classname") for entry in suite.iter("testcase")} == {result.facts.name}
    assert [len(suite.findall("testcase")) for suite in root] == [3, 4]


def test_counts_are_those_of_the_cases():
    root = read(failing_report())
    for element in (root, *root):
        assert element.get("tests") == str(len(list(element.iter("testcase"))))
        assert element.get("failures") == str(len(list(element.iter("failure"))))
    assert root.get("failures") == "2"


def test_failure_carries_the_line_of_stderr_and_all_lines():
    report = failing_report()
    result = report.contenders[1]
    failure = case(read(report), result.facts.name, "logits").find("failure")
    assert failure is not None
    assert failure.get("message") == str(result.failures[0])
    assert (failure.text or "").splitlines() == [str(line) for line in result.failures if line.output == "logits"]


def test_what_is_about_no_output_is_a_case_of_its_own():
    report = failing_report()
    failure = case(read(report), "vit.fp16.onnx", WHOLE).find("failure")
    assert failure is not None
    assert failure.get("message") == str(report.contenders[1].failures[2])


def test_contender_without_outputs_is_skipped_and_not_passed():
    report = passing_report()
    nothing = dataclasses.replace(report.contenders[0], outputs=())
    root = read(dataclasses.replace(report, contenders=(nothing,)))
    assert case(root, "vit.onnx", WHOLE).find("skipped") is not None


def test_hashes_and_environment_are_properties():
    report = failing_report()
    for suite, result in zip(read(report), report.contenders, strict=True):
        properties = {entry.get("name"): entry.get("value") for entry in suite.iter("property")}
        assert properties["SHA-256"] == result.facts.sha256
        assert properties["model SHA-256"] == report.model.sha256
        assert properties.items() >= report.environment.items()


def test_hostile_names_come_back_as_they_were():
    root = read(hostile_report())
    readable = HOSTILE.replace("\x01", r"\x01")
    assert {suite.get("name") for suite in root} == {readable}
    assert root.get("name") == f"attnexport check {readable}"


def test_numbers_that_are_not_finite_leave_valid_xml():
    report = passing_report()
    (output,) = report.contenders[0].outputs
    errors = dataclasses.replace(output.kinds[0], relative_l2=math.nan, cosine=math.nan, largest_error=math.inf)
    outputs = (dataclasses.replace(output, kinds=(errors,)),)
    contender = dataclasses.replace(report.contenders[0], outputs=outputs, seconds=0.0)
    root = read(dataclasses.replace(report, contenders=(contender,)))
    assert "relative L2 NaN" in (root.findtext("testsuite/testcase/system-out") or "")
