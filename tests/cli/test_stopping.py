"""SIGTERM ends a command as Ctrl-C does: one line, nothing half-written, no program of it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import without_progress

COMPILER = """#!/bin/sh
echo $$ > "{folder}/started"
exec sleep 60
"""


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGTERM, 143, "attnexport: ended by SIGTERM"),
        (signal.SIGHUP, 129, "attnexport: ended by SIGHUP"),
        (signal.SIGINT, 130, "attnexport: interrupted"),
    ],
)
def test_a_build_that_is_asked_to_end_says_so_in_one_line_and_stops_its_compilers(tmp_path: Path, number, code, line):
    started = tmp_path / "started"
    for name in ("nvcc", "g++"):
        (tmp_path / name).write_text(COMPILER.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "built").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "attnexport.cli", "plugins", "build", "--arch", "87", "--api", "none", "-o", "built"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "CUDA_HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: started.is_file() and started.stat().st_size > 0)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, without_progress(said).strip().splitlines()) == (code, [line])
    assert not list((tmp_path / "built").iterdir())
    compiler = int(started.read_text())
    wait_for(lambda: not Path(f"/proc/{compiler}").exists())


STAGE = """
import sys, time
from pathlib import Path
from attnexport.cli.stopping import Terminated, stoppable
from attnexport.files.outputs import replacing
path = Path(sys.argv[1])
try:
    with stoppable(), replacing(path) as folder:
        (folder / path.name).write_text("half")
        Path("started").write_text("started")
        time.sleep(60)
except Terminated:
    print(sorted(path.name for path in path.parent.iterdir()))
"""


def test_sigterm_while_a_file_is_written_leaves_nothing_of_it(tmp_path: Path):
    (tmp_path / "outputs").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, "outputs/out.onnx"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    wait_for((tmp_path / "started").is_file)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (0, "[]")
