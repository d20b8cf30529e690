"""Scripts that run a hostile body in a child, as a command does with a program that it does not trust."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools import require

Harm = Callable[..., str]

SCRIPT = """
import os, sys
from pathlib import Path
from attnexport.errors import InputError
from attnexport.files.outputs import replacing
from attnexport.sandbox.limits import Limits
from attnexport.sandbox.places import Places
from attnexport.sandbox.supervisor import Command, run_in_child

def body():
    try:
{body}
    except OSError as error:
        print("refused:", error.strerror)
    return 0

places = Places(readable=(Path("given"),), writable=(Path("cache"),))
command = Command(Path("model.pt2"), [Path("outputs/out.onnx")], places, Limits(memory={memory}, seconds={seconds}))
try:
    code = run_in_child(command, body)
    if code != 0:
        print("code", code)
except InputError as error:
    print("told:", error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the child runs: an output folder, a cache, a file that it was given and one that it was not."""
    for name in ("outputs", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "given").write_text("given")
    (tmp_path / "secret").write_text("secret")
    return tmp_path


def script_of(body: str, *, memory: int = 1 << 30, seconds: int = 60) -> list[str]:
    """The command line that runs the body in a child."""
    text = SCRIPT.format(body=textwrap.indent(textwrap.dedent(body), "        "), memory=memory, seconds=seconds)
    return [sys.executable, "-c", text]


@pytest.fixture
def harm(folder: Path) -> Harm:
    """What is printed when a body runs in a child."""

    def run(body: str, **limits: int) -> str:
        done = subprocess.run(script_of(body, **limits), cwd=folder, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def files_are_out_of_reach() -> None:
    """Skips where the kernel has no Landlock that is new enough."""
    require("Landlock")


@pytest.fixture(scope="session")
def calls_are_refused() -> None:
    """Skips where the kernel or the architecture has no filter of system calls."""
    require("seccomp")
