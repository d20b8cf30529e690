"""Long commands tell what they do and how far it is, in the child that runs strangers' programs too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import attnexport.display.progress
from tests.cli.commands import Run
from tests.cli.models import WIDTH

Told = list[tuple[str, float | None]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The steps that commands told of."""
    steps: Told = []
    monkeypatch.setattr(
        attnexport.display.progress._Follower, "follow", lambda self, step, done: steps.append((step, done))
    )
    return steps


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    path = folder / "progress.npz"
    np.savez(path, x=np.random.default_rng(0).standard_normal((4, 9, WIDTH)).astype(np.float32))
    return path


def test_convert_tells_of_translating_writing_and_every_shape(run: Run, saved: Path, told: Told, tmp_path: Path):
    assert run("convert", saved, "-o", tmp_path / "out.onnx").code == 0
    assert [step for step, _ in told] == [
        "exporting",
        "translating to ONNX",
        "writing",
        *(f"running the file at x {shape}x{WIDTH}" for shape in ("2x9", "1x1", "5x20")),
    ]


def test_check_tells_of_the_reference_and_each_contender(run: Run, saved: Path, converted: Path, told: Told):
    assert run("check", saved, converted, "--kinds", "normal", "--seeds", 2, "--hazards", "--no-cache").code == 0
    assert told == [
        ("opening contenders", None),
        ("running PyTorch on normal-0", 0.0),
        (f"checking {converted} on normal-0", 0.0),
        ("running PyTorch on normal-1", 0.5),
        (f"checking {converted} on normal-1", 0.5),
        ("measuring hazards", None),
    ]


def test_record_and_analyze_tell_of_every_batch(run: Run, saved: Path, data: Path, told: Told, tmp_path: Path):
    quick = ("--kinds", "normal", "--seeds", 2, "--precisions", "fp32")
    assert run("record", saved, "-o", tmp_path / "set", *quick).code == 0
    assert told == [("recording normal-0", 0.0), ("recording normal-1", 0.5)]
    told.clear()
    assert run("analyze", saved, "--data", data, "--rows", 1, "--n", 2, "--samples", 4).code == 0
    assert told == [("exporting", None), (f"reading {data}[0:4]", 0.0)]


def test_run_tells_how_many_runs_it_has_timed(run: Run, converted: Path, data: Path, told: Told):
    assert run("run", converted, "--data", data, "--time", 30).code == 0
    assert [step for step, _ in told[:2]] == [f"opening {converted.name}", f"running {converted.name}"]
    assert told[2:] == [("timing 30 runs", 0.0), ("timing 30 runs", pytest.approx(1 / 3))]


SOON = """
import sys
import attnexport.display.progress
attnexport.display.progress.EVERY_S = 0.05
from attnexport.cli import main
main(prog_name="attnexport")
"""


@pytest.mark.slow
def test_the_child_that_runs_a_strangers_program_shows_it_on_stderr(saved: Path, tmp_path: Path):
    quick = ("--precisions", "fp32", "--kinds", "normal,large")
    command = [sys.executable, "-c", SOON, "record", saved, "-o", "set", *quick]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=variables, check=True)
    lines = done.stderr.splitlines()
    assert "attnexport: loading, 0 s" in lines
    assert any(line.startswith("attnexport: recording ") and line.endswith(" s") for line in lines)
    assert done.stdout == "WROTE set: 6 batches, budgets for fp32\n"
