"""--help: fast, and without torch."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import without_progress

COMMANDS = (
    "analyze",
    "build",
    "calibrate",
    "check",
    "compare",
    "convert",
    "inspect",
    "plugins",
    "quantize",
    "record",
    "run",
    "runtime",
    "targets",
    "tune",
    "variants",
)


def _processor_seconds() -> float:
    """What child processes have taken so far: other work on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_answers_in_under_two_fifths_of_a_second():
    seconds = []
    for _ in range(5):
        before = _processor_seconds()
        subprocess.run([sys.executable, "-m", "attnexport.cli", "--help"], check=True, capture_output=True)
        seconds.append(_processor_seconds() - before)
    assert statistics.median(seconds) < 0.4


def test_no_help_page_imports_torch():
    script = f"""
import sys
from attnexport.cli import main
for args in [["--help"], ["--version"], *([name, "--help"] for name in {COMMANDS})]:
    try:
        main(args, prog_name="attnexport")
    except SystemExit as end:
        assert not end.code, args
    for module in ("torch", "onnx", "onnxruntime", "numpy", "matplotlib"):
        assert module not in sys.modules, (args, module)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_help_names_every_command_and_the_exit_codes(run):
    result = run("--help")
    assert (result.code, result.err) == (0, "")
    assert all(f"  {name} " in result.out for name in COMMANDS)
    assert "2 unusable input" in result.text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page(run, name: str):
    result = run(name, "-h")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: attnexport {name}")


SCRIPT = """
import sys
import torch
from attnexport.cli import main
for name, inputs in zip(sys.argv[2::2], sys.argv[3::2]):
    torch.manual_seed(0)
    try:
        main(["convert", "--model", f"tests.cli.models:{name}", "--inputs", inputs, "-o", sys.argv[1] + "/out.onnx"])
    except SystemExit as end:
        print("code", end.code or 0, file=sys.stderr)
"""


def stderr_of(folder: Path, *models: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), *models]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(done.stderr)
    return [line.partition(":")[0] for line in without_progress(done.stderr).splitlines()]


def test_real_stderr_holds_one_line_for_an_error_and_none_for_a_success(tmp_path: Path):
    lines = stderr_of(tmp_path, "Eigenvalues", "x=4x4", "tiny", "x=2x9x16:i64", "Plain", "x=2x16")
    assert lines == ["attnexport", "code 2", "attnexport", "code 2", "code 0"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]


def test_real_stderr_holds_one_line_for_a_wrong_shape(tmp_path: Path):
    assert stderr_of(tmp_path, "tiny", "x=2x9x15") == ["attnexport", "code 2"]
