"""A report that goes to standard output has it for itself: what people read is on stderr then."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.cli.commands import Refuse, Run
from tests.cli.models import WIDTH

QUICK = ("--kinds", "normal", "--seeds", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples for the small model."""
    path = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(path, x=np.random.default_rng(0).standard_normal((3, 9, WIDTH), dtype=np.float32))
    return path


def test_json_of_check_is_alone_on_standard_output(run: Run, saved: Path, converted: Path):
    result = run("check", saved, converted, *QUICK, "--json", "-")
    assert result.code == 0
    assert json.loads(result.out)["passed"] is True
    assert str(converted) in "".join(result.err.split())


def test_markdown_and_junit_of_check_are_too(run: Run, saved: Path, converted: Path):
    markdown = run("check", saved, converted, *QUICK, "--markdown", "-")
    assert markdown.out.startswith("## ")
    assert markdown.out.endswith("</details>\n")
    junit = run("check", saved, converted, *QUICK, "--junit", "-")
    assert ElementTree.fromstring(junit.out).tag == "testsuites"


def test_a_file_may_be_written_beside_it(run: Run, saved: Path, converted: Path, tmp_path: Path):
    result = run("check", saved, converted, *QUICK, "--json", "-", "--markdown", tmp_path / "r.md")
    assert json.loads(result.out)["passed"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["r.md"]


def test_two_reports_on_standard_output_are_refused(refuse: Refuse, saved: Path, converted: Path):
    line = refuse("check", saved, converted, "--json", "-", "--markdown", "-")
    assert line.endswith("--markdown: expected another file than the other reports', given -")


def test_json_of_analyze_is_alone_on_standard_output(run: Run, saved: Path, data: Path):
    result = run("analyze", saved, "--data", data, "--n", "2", "--json", "-")
    assert json.loads(result.out)["samples"] == 3
    assert "3 samples" in result.err


def test_json_of_run_is_alone_on_standard_output(run: Run, converted: Path, data: Path):
    result = run("run", converted, "--data", data, "--json", "-")
    assert list(json.loads(result.out)["outputs"]) == ["output"]
    assert "precision" in result.err
