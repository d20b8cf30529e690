"""How a child ends is told in one line, and a child that is killed leaves nothing."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.sandbox.conftest import script_of

HALF = """
    with replacing("outputs/out.onnx") as staging:
        (staging / "out.onnx").write_text("half")
        {then}
"""


@pytest.mark.parametrize(
    ("then", "limits", "told"),
    [
        ("held = bytearray(os.urandom(1 << 20)) * 900", {"memory": 1 << 28}, "used more than 0.25 GiB of memory"),
        ("while True: pass", {"seconds": 1}, "used more than 1 s of processor time"),
        ("import ctypes; ctypes.string_at(0)", {}, "killed by SIGSEGV"),
        ("os.abort()", {}, "killed by SIGABRT"),
        ("os.kill(os.getpid(), 9)", {}, "killed by SIGKILL"),
    ],
)
def test_a_child_that_is_killed_is_told_by_its_cause_and_leaves_nothing(harm, folder: Path, then, limits, told):
    said = harm(HALF.format(then=then), **limits)
    assert said.startswith(f"told: {told} while reading model.pt2")
    assert len(said.splitlines()) == 1
    assert not list((folder / "outputs").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(folder: Path, number: int):
    command = script_of(HALF.format(then="print(os.getpid(), flush=True); import time; time.sleep(60)"))
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.wait()
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def on_a_terminal(body: str, folder: Path) -> bytes:
    """What a child writes to a terminal."""
    master, terminal = pty.openpty()
    subprocess.run(script_of(body), cwd=folder, stdin=terminal, stdout=terminal, check=True)
    return os.read(master, 100).strip()


def test_the_terminal_is_the_childs_too(folder: Path):
    assert on_a_terminal("print(sys.stdout.isatty(), sys.stdin.isatty())", folder) == b"True True"


@pytest.mark.usefixtures("calls_are_refused")
def test_it_types_nothing_into_the_terminal(folder: Path):
    said = on_a_terminal("import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')", folder)
    assert said == b"refused: Operation not permitted"
