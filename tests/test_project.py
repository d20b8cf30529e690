"""The files about the project say what it does: one version, its own checks, the rooms that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from attnexport import __version__
from tests.test_layout import ORDER

ROOT = Path(__file__).parents[1]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == __version__
    assert citation["authors"] == [{"name": "The attnexport maintainers"}]


def test_the_workflow_runs_what_must_hold_before_a_change_lands() -> None:
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}


def test_hooks_call_the_tools_that_make_lint_and_make_types_call() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program, command, *_ = hook["entry"].split()
        called = f"{command}:" if program == "make" else f"$(BIN)/{Path(program).name}"
        assert called in makefile, hook


def test_contributing_has_every_room_in_its_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.search(r"^\| room \|.*\n\|[-|]+\n((\|.*\n)+)", text, re.MULTILINE)
    assert rows is not None
    names = [name for row in rows[1].splitlines() for name in re.findall("`(.+?)`", row.split("|")[1])]
    assert names == ["attnexport" if room == "__init__" else room for room in ORDER]


def test_contributing_tells_of_the_commands_of_the_checks() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    helpers = {"bare-root", "enter"}
    for script in (ROOT / ".ci").iterdir():
        assert script.name in helpers or f"`.ci/{script.name}" in text, script


def test_the_oldest_versions_are_those_that_the_package_allows() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.search(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert needed is not None
    allowed = dict(re.findall(r'^ *"([\w-]+)>=([\d.]+)",$', needed[1], re.MULTILINE))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "constraints-min.txt").read_text(), re.MULTILINE))
    assert {name: Version(version) for name, version in pinned.items()} == {
        name: Version(version) for name, version in allowed.items()
    }
