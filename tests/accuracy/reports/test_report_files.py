"""The files of --json, --junit, --markdown and --html, and those that a report saves itself into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnexport.accuracy.reports import html, junit, markdown
from attnexport.cli.reports import ReportOptions
from attnexport.errors import InputError
from tests.accuracy.reports.made_reports import failing_report


def options(**paths: Path) -> ReportOptions:
    return ReportOptions(**{name: paths.get(name) for name in ("json", "junit", "markdown", "html")})


def test_each_file_holds_its_report(tmp_path: Path):
    asked = {name: tmp_path / f"r.{name}" for name in ("json", "junit", "markdown", "html")}
    report = failing_report()
    options(**asked).write(report)
    assert json.loads(asked["json"].read_text())["passed"] is False
    for name, render in (("junit", junit.render), ("markdown", markdown.render), ("html", html.render)):
        assert asked[name].read_text(encoding="utf-8") == render(report)
    assert sorted(tmp_path.iterdir()) == sorted(asked.values())


def test_a_report_is_saved_as_its_name_says(tmp_path: Path):
    report = failing_report()
    for suffix, render in ((".html", html.render), (".md", markdown.render), (".xml", junit.render)):
        report.save(tmp_path / f"r{suffix}")
        assert (tmp_path / f"r{suffix}").read_text(encoding="utf-8") == render(report)
    report.save(str(tmp_path / "r.json"))
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is False
    with pytest.raises(InputError, match=r"r.txt: expected a name that ends in .html, .json, .md, .xml$"):
        report.save(tmp_path / "r.txt")
    assert str(report) == markdown.render(report)


def test_only_what_was_asked_for_is_written(tmp_path: Path):
    options(html=tmp_path / "r.html").write(failing_report())
    assert list(tmp_path.iterdir()) == [tmp_path / "r.html"]


def test_one_file_for_two_reports_is_refused(tmp_path: Path):
    path = tmp_path / "report"
    with pytest.raises(InputError, match=r"^--html: expected another file than the other reports', given .*report$"):
        options(junit=path, html=tmp_path / "." / "report").check()


def test_an_input_is_not_overwritten(tmp_path: Path):
    model = tmp_path / "model.pt2"
    model.write_bytes(b"")
    with pytest.raises(InputError, match=r"expected another name for the output, given the input .*model\.pt2$"):
        options(markdown=model).check(None, model)


def test_a_folder_that_is_not_there_is_said_before_the_work(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected an existing folder to write into"):
        options(junit=tmp_path / "none" / "r.xml").check()
