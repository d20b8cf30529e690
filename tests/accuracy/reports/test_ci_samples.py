"""The samples for GitHub and GitLab: their YAML, their options, and their scripts on a real model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper

import attnexport
from attnexport.cli import main
from tests.cli.commands import without_progress
from tests.cli.models import WIDTH, Plain

SAMPLES = Path(__file__).parents[3] / "samples" / "ci"
FILES = ["github/action.yml", "github/workflow.yml", "gitlab.yml"]
REPORTS = ["junit.xml", "report.html", "report.json", "report.md"]
QUICK = ["--kinds=normal", "--seeds=1", "--no-cache"]


def read(name: str) -> dict[str, Any]:
    content = yaml.safe_load((SAMPLES / name).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a model, its ONNX file, and one with another bias."""
    folder, args = tmp_path_factory.mktemp("checkout"), (torch.randn(2, 9, WIDTH),)
    attnexport.save(plain(), folder / "model.pt2", args=args)
    attnexport.convert(plain(), args, folder / "a model.onnx")
    wrong = onnx.load(folder / "a model.onnx")
    bias = next(tensor for tensor in wrong.graph.initializer if tensor.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1), bias.name))
    onnx.save(wrong, folder / "wrong.onnx")
    return folder


def plain() -> Plain:
    torch.manual_seed(0)
    return Plain().eval()


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as both systems do, with the command of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", FILES)
def test_options_exist(name: str):
    check = main.get_command(click.Context(main), "check")
    assert check is not None
    known = {option for parameter in check.params for option in parameter.opts}
    text = (SAMPLES / name).read_text(encoding="utf-8")
    command = re.sub(r"(gh pr comment|pip install).*", "", text)
    used = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", command))
    assert used
    assert used <= known


def test_action_takes_what_the_workflow_gives():
    action = read("github/action.yml")
    given = next(
        step["with"] for step in read("github/workflow.yml")["jobs"]["check"]["steps"] if step.get("name") == "Check"
    )
    required = {name for name, entry in action["inputs"].items() if entry.get("required")}
    assert required <= set(given) <= set(action["inputs"])


def test_inputs_reach_scripts_through_the_environment_alone():
    for step in [*read("github/action.yml")["runs"]["steps"], *read("github/workflow.yml")["jobs"]["check"]["steps"]]:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) != ("uses" in step)


def test_action_checks_a_model_and_shows_the_report(work: Path, tmp_path: Path):
    steps = {step["name"]: step for step in read("github/action.yml")["runs"]["steps"]}
    reports, summary = tmp_path / "the reports", tmp_path / "summary.md"
    given = {"MODEL": "model.pt2", "CONTENDERS": "\na model.onnx\n\ntorch:fp32\n", "OPTIONS": "\n".join(QUICK)}
    done = bash(steps["Check"]["run"], work, REPORTS=str(reports), **given)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert sorted(path.name for path in reports.iterdir()) == REPORTS
    suites = ElementTree.parse(reports / "junit.xml").getroot()
    assert [suite.get("name") for suite in suites] == ["a model.onnx", "torch:fp32"]
    assert suites.get("failures") == "0"
    shown = bash(
        steps[next(name for name in steps if name.startswith("Show"))]["run"],
        work,
        REPORTS=str(reports),
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert shown.returncode == 0
    assert summary.read_text(encoding="utf-8").startswith("## ✅ Accuracy of `model.pt2`")


def test_gitlab_job_fails_and_keeps_the_reports(work: Path):
    job = read("gitlab.yml")["attnexport-check"]
    given = {**job["variables"], "CONTENDERS": "wrong.onnx", "OPTIONS": " ".join(QUICK)}
    done = bash("\n".join(job["script"]), work, **given)
    assert done.returncode == 1
    folder = work / job["artifacts"]["paths"][0]
    assert sorted(path.name for path in folder.iterdir()) == REPORTS
    suites = ElementTree.parse(work / job["artifacts"]["reports"]["junit"]).getroot()
    (failure,) = suites.iter("failure")
    assert f"attnexport: {failure.get('message')}" in done.stderr
    assert (folder / "report.md").read_text(encoding="utf-8").startswith("## ❌")


def test_gitlab_job_says_what_to_install(work: Path):
    job = read("gitlab.yml")["attnexport-check"]
    done = bash("\n".join(job["before_script"]), work, **job["variables"])
    assert done.returncode != 0
    assert "expected what pip installs" in done.stderr
