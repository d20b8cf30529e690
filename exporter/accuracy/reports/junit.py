"""A check as JUnit XML, which GitLab and GitHub's test reporters show: a suite a contender, a case an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from attnexport.accuracy.check.results import CheckReport, ContenderResult
from attnexport.accuracy.contenders.facts import Failure
from attnexport.accuracy.errors.measures import KindErrors, OutputErrors
from attnexport.accuracy.reports.wording import contender_facts, model_facts, number, used
from attnexport.printable import printable

WHOLE = "the contender as a whole"
"""Name of the case for what is wrong with a contender and not with one output: a metric, a run that failed."""


def render(report: CheckReport) -> str:
    """JUnit XML, to be written as UTF-8.

    Every case carries the figures of each kind of inputs in ``system-out``; a case that fails has one ``failure``
    with the line that stderr has, and all lines in its text. Hashes and environment are properties of the suites.
    """
    root = Element("testsuites", {"name": printable(f"attnexport check {report.model.name}")})
    for result in report.contenders:
        root.append(_suite(report, result))
    for attribute in ("tests", "failures", "errors"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in root)))
    root.set("time", f"{report.times.total:.3f}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(report: CheckReport, result: ContenderResult) -> Element:
    suite = Element("testsuite", {"name": printable(result.facts.name)})
    _add_properties(suite, model_facts(report) | contender_facts(result) | {"verdict": result.verdict})
    for output in result.outputs:
        skipped = result.verdict if output.is_yardstick and output.passed else ""
        suite.append(_case(result, output.name, _failures(result, output.name), _figures(output), skipped))
    whole = _failures(result, "")
    if whole:
        suite.append(_case(result, WHOLE, whole, ""))
    elif not result.outputs:
        suite.append(_case(result, WHOLE, (), "", "no output was compared"))
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{result.seconds:.3f}")
    return suite


def _add_properties(suite: Element, facts: Mapping[str, str]) -> None:
    properties = SubElement(suite, "properties")
    for name, value in facts.items():
        SubElement(properties, "property", {"name": printable(name), "value": printable(value)})


def _failures(result: ContenderResult, output: str) -> tuple[Failure, ...]:
    return tuple(failure for failure in result.failures if failure.output == output)


def _case(result: ContenderResult, name: str, failures: Sequence[Failure], figures: str, skipped: str = "") -> Element:
    """A case that passed unless it has failures or a reason why it was skipped."""
    case = Element("testcase", {"classname": printable(result.facts.name), "name": printable(name)})
    if failures:
        # GitLab shows the text and not the message, and one failure a case.
        failure = SubElement(case, "failure", {"message": printable(str(failures[0])), "type": "accuracy"})
        failure.text = "\n".join(printable(str(failure)) for failure in failures)
    if skipped:
        SubElement(case, "skipped", {"message": printable(skipped)})
    if figures:
        SubElement(case, "system-out").text = figures
    return case


def _figures(output: OutputErrors) -> str:
    return "\n".join(printable(f"{kind.kind}: {_line(kind)}") for kind in output.kinds)


def _line(kind: KindErrors) -> str:
    if kind.budget is None:
        return f"{kind.mismatches} of {kind.elements} differ, {kind.allowed_mismatches} allowed"
    return (
        f"largest error {number(kind.largest_error)}, PyTorch's own {number(kind.budget.torch_error)}, "
        f"allowed {number(kind.budget.limit)}, budget used: {used(kind)}, "
        f"relative L2 {number(kind.relative_l2)}, cosine {kind.cosine:.9f}, {kind.not_finite} NaN or infinite"
    )
