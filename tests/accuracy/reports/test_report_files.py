"""The files of --json, --junit, --markdown and --html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnexport.accuracy.reports import html, junit, markdown
from attnexport.cli.reports import report_paths, write_reports
from attnexport.errors import InputError
from tests.accuracy.reports.made_reports import failing_report


def given(**paths: Path) -> dict[str, Any]:
    return {name: paths.get(name) for name in ("json_path", "junit_path", "markdown_path", "html_path")}


def test_each_file_holds_its_report(tmp_path: Path):
    asked = {
        "json_path": tmp_path / "r.json",
        "junit_path": tmp_path / "r.xml",
        "markdown_path": tmp_path / "r.md",
        "html_path": tmp_path / "r.html",
    }
    report = failing_report()
    write_reports(report, report_paths(given(**asked)))
    assert json.loads(asked["json_path"].read_text())["passed"] is False
    for name, render in (("junit_path", junit.render), ("markdown_path", markdown.render), ("html_path", html.render)):
        assert asked[name].read_text(encoding="utf-8") == render(report)
    assert sorted(tmp_path.iterdir()) == sorted(asked.values())


def test_only_what_was_asked_for_is_written(tmp_path: Path):
    write_reports(failing_report(), report_paths(given(html_path=tmp_path / "r.html")))
    assert list(tmp_path.iterdir()) == [tmp_path / "r.html"]


def test_one_file_for_two_reports_is_refused(tmp_path: Path):
    path = tmp_path / "report"
    with pytest.raises(InputError, match=r"^--html: expected another file than the other reports', given .*report$"):
        report_paths(given(junit_path=path, html_path=tmp_path / "." / "report"))


def test_an_input_is_not_overwritten(tmp_path: Path):
    model = tmp_path / "model.pt2"
    model.write_bytes(b"")
    with pytest.raises(InputError, match=r"expected another name for the output, given the input .*model\.pt2$"):
        report_paths(given(markdown_path=model), None, model)


def test_a_folder_that_is_not_there_is_said_before_the_work(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected an existing folder to write into"):
        report_paths(given(junit_path=tmp_path / "none" / "r.xml"))
