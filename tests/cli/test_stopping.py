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
case "$1" in
--version) echo "Cuda compilation tools, release 13.0, V13.0.48" ;;
--list-gpu-arch) echo compute_87 ;;
*)
    echo $$ >> "{folder}/started"
    exec sleep 60
    ;;
esac
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
    (tmp_path / "temporary").mkdir()
    for name in ("nvcc", "g++"):
        (tmp_path / name).write_text(COMPILER.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "attnexport.cli", "plugins", "build", "--arch", "87", "--api", "none", "-o", "built"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "CUDA_HOME": str(tmp_path),
            "TMPDIR": str(tmp_path / "temporary"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: started.is_file() and started.stat().st_size > 0)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, without_progress(said).strip().splitlines()) == (code, [line])
    assert not (tmp_path / "built").exists()
    assert not list((tmp_path / "temporary").iterdir())
    for compiler in started.read_text().split():
        wait_for(lambda compiler=compiler: not Path(f"/proc/{compiler}").exists())


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


QUIET = {"OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
BATCHES = ("--seeds", 300, "--longest", 512)
RECORD = ("record", "{model}", "-o", "outputs/set", *BATCHES)
CHECK = (
    "check",
    "{model}",
    "torch:fp32",
    "--no-cache",
    "--json",
    "outputs/a.json",
    "--html",
    "outputs/a.html",
    *BATCHES,
)
CONVERT = ("convert", "{model}", "-o", "outputs/out.onnx")


@pytest.mark.parametrize(
    ("command", "trusted"),
    [
        (RECORD, ()),
        (RECORD, ("--trust-model",)),
        (CHECK, ()),
        pytest.param(CHECK, ("--trust-model",), marks=pytest.mark.thorough),
        pytest.param(CONVERT, ("--trust-model",), marks=pytest.mark.thorough),
    ],
    ids=lambda given: given[0] if given else "in-a-child",
)
def test_sigterm_in_the_middle_of_a_command_leaves_nothing_of_it(saved: Path, tmp_path: Path, command, trusted):
    outputs, temporary = tmp_path / "outputs", tmp_path / "temporary"
    outputs.mkdir()
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "attnexport.cli", *(str(word).format(model=saved) for word in command), *trusted],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "TMPDIR": str(temporary), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: any(path.is_file() for path in outputs.rglob("*")) or any(temporary.rglob(".work.*")))
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, without_progress(said)) == (143, "attnexport: ended by SIGTERM\n")
    assert (list(outputs.iterdir()), list(temporary.iterdir())) == ([], [])


DROP = """
import os, signal, sys, time
from attnexport.cli.stopping import Terminated, stoppable
class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
try:
    with stoppable():
        Destroyed()
        time.sleep(60)
except Terminated as ended:
    print(ended)
"""


def test_sigterm_that_comes_in_a_destructor_ends_the_command_all_the_same():
    """Python shows the exceptions of destructors, and drops them."""
    done = subprocess.run([sys.executable, "-c", DROP], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "SIGTERM\n", "")


INTERRUPTED = """
import shutil, sys
from pathlib import Path
from attnexport.cli.stopping import stoppable
from attnexport.files import staging
whole = shutil.rmtree
def interrupted(path, **options):
    shutil.rmtree = whole
    raise KeyboardInterrupt
try:
    with stoppable(), staging.staging_folder(Path(sys.argv[1]), "out.onnx") as folder:
        (folder / "half").write_text("half")
        shutil.rmtree = interrupted
except KeyboardInterrupt:
    print(sorted(path.name for path in Path(sys.argv[1]).iterdir()))
"""


def test_a_second_ctrl_c_while_a_staging_folder_is_removed_leaves_nothing_of_it(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
