"""--help: fast, and without torch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

COMMANDS = ("analyze", "check", "convert", "inspect", "variants")


def test_help_answers_in_under_two_fifths_of_a_second():
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "attnexport.cli", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
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


def test_real_stderr_holds_one_line(tmp_path):
    command = [sys.executable, "-m", "attnexport.cli", "convert", "--model", "tests.cli.models:Eigenvalues"]
    done = subprocess.run(
        [*command, "--inputs", "x=4x4", "-o", str(tmp_path / "out.onnx")], capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("attnexport: ")
    assert not list(tmp_path.iterdir())
