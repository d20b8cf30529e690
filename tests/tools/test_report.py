"""What a run tells: missing tools and what they cost, a test that took too long, and those that took longest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PLUGINS = ("-p", "tests.tools.report", "-p", "tests.tools.processor_time", "-p", "no:cacheprovider")
REMEDY = r"g\+\+ \(apt install g\+\+\)"
TOOLS = """
import pytest
from tests.tools import require

@pytest.fixture(scope="session")
def compiled():
    require("g++")

def test_one(compiled): pass
def test_two(compiled): pass

@pytest.mark.needs("g++")
def test_three(): pass

def test_without(): pass
"""
LIMITS = """
import time
import pytest

@pytest.fixture(scope="session")
def compiled():
    time.sleep(1.2)

@pytest.mark.timeout(1)
def test_that_waits_for_a_fixture(compiled): pass

@pytest.mark.timeout(1)
def test_that_takes_long(): time.sleep(30)
"""

SPINNING = """
import subprocess
import sys

def test_quick(): pass
def test_with_a_busy_child(): subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
def test_busy(): sum(range(5_000_000))
"""


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest with this project's settings, where PATH has nothing."""
    (folder / "test_file.py").write_text(text)
    own = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), *PLUGINS]
    command = [sys.executable, "-m", "pytest", *own, *options, str(folder / "test_file.py")]
    environment = {**os.environ, "PATH": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_says_what_is_missing_and_how_many_tests_that_costs(tmp_path: Path):
    done = run(tmp_path, TOOLS, "--numprocesses", "2")
    assert done.returncode == 0, done.stdout
    assert re.search("1 passed, 3 skipped", done.stdout)
    (first,) = re.findall("^missing, and tests that need it are skipped: .*", done.stdout, re.MULTILINE)
    assert re.search(REMEDY, first)
    last = re.findall("^tests skipped for want of a tool: .*", done.stdout, re.MULTILINE)
    assert last == ["tests skipped for want of a tool: 3; g++ 3 (apt install g++)"]


def test_a_run_that_must_have_every_tool_refuses_to_start(tmp_path: Path):
    done = run(tmp_path, TOOLS, "--every-tool")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search(f"^ERROR: missing: .*{REMEDY}", done.stderr, re.MULTILINE)
    assert "a GPU" not in done.stderr


def test_a_time_limit_is_for_the_test_and_not_for_what_its_fixtures_compile(tmp_path: Path):
    done = run(tmp_path, LIMITS)
    assert re.search("1 failed, 1 passed", done.stdout), done.stdout
    assert re.search(r"^FAILED \S*::test_that_takes_long", done.stdout, re.MULTILINE)
    assert "Timeout (>1.0s)" in done.stdout


@pytest.mark.parametrize("options", [(), ("--numprocesses", "2")], ids=["one process", "two"])
def test_a_run_ends_with_the_tests_of_most_processor_time(tmp_path: Path, options: tuple[str, ...]):
    done = run(tmp_path, SPINNING, "--slowest", "2", *options)
    assert done.returncode == 0, done.stdout
    listed = re.findall(r"^ *\d+\.\d s \S*::(\w+)$", done.stdout, re.MULTILINE)
    assert listed == ["test_with_a_busy_child", "test_busy"]
