"""Commands that take a .pt2 run in a child: with the same results and messages, and within its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attnexport.files.outputs import sha256
from tests.cli.commands import without_progress

LIBRARIES = {**os.environ, "OMP_NUM_THREADS": "1"}


class Growing(nn.Module):
    """Asks for 16 GB through ordinary operators."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(4, 1000, 1000, 1000, dtype=x.dtype).sum()


def attnexport_of(folder: Path, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "attnexport.cli", *map(str, args)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**LIBRARIES, **variables})
    done.stderr = without_progress(done.stderr)
    return done


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("growing") / "growing.pt2"
    program = torch.export.export(Growing(), (torch.zeros(1),))
    torch.export.save(program, path)
    return path


@pytest.mark.slow
def test_convert_and_check_work_in_the_child(saved: Path, tmp_path: Path):
    done = attnexport_of(tmp_path, "convert", saved, "-o", "out.onnx")
    assert (done.returncode, done.stderr) == (0, "")
    kinds = ("--kinds", "normal", "--seeds", 1, "--bisect", "--cache", "cache")
    done = attnexport_of(tmp_path, "check", saved, "out.onnx", *kinds, "--json", "report.json", "--html", "report.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out.onnx", "report.html", "report.json"]
    assert list((tmp_path / "cache" / "strangers" / sha256(saved)).glob("*.npz"))


@pytest.mark.slow
def test_a_package_made_of_links_is_seen_by_the_child(saved: Path, tmp_path: Path):
    """As type checkers want it: the import names differ from the folders."""
    root, package = Path(__file__).parents[2], tmp_path / "links" / "attnexport"
    package.mkdir(parents=True)
    for path in (*(root / "exporter").iterdir(), root / "plugins", root / "calibration"):
        (package / path.name).symlink_to(path)
    done = attnexport_of(tmp_path, "convert", saved, "-o", "out.onnx", PYTHONPATH=str(package.parent))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_record_and_analyze_work_in_the_child(saved: Path, tmp_path: Path):
    done = attnexport_of(tmp_path, "record", saved, "-o", "set", "--kinds", "normal", "--seeds", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "set" / "compare.py").is_file()
    samples = Path(__file__).parents[2] / "samples" / "digits"
    done = attnexport_of(
        tmp_path, "analyze", samples / "topn.pt2", "--data", samples / "test.npz", "--samples", 2, "--png", "map.png"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "set"]


def test_a_program_that_takes_too_much_memory_is_told_in_one_line(growing: Path, tmp_path: Path):
    done = attnexport_of(tmp_path, "convert", growing, "-o", "out.onnx", "--max-memory", 1)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"attnexport: used more than 1 GiB of memory while reading {growing}; --max-memory allows more"
    ]
    assert not list(tmp_path.iterdir())


def test_a_program_that_takes_too_long_is_told_in_one_line(saved: Path, tmp_path: Path):
    done = attnexport_of(tmp_path, "convert", saved, "-o", "out.onnx", "--max-cpu-time", 1)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"attnexport: used more than 1 s of processor time while reading {saved}; --max-cpu-time allows more"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "to_all", "code", "line"),
    [
        (signal.SIGTERM, False, 143, "attnexport: ended by SIGTERM"),
        (signal.SIGINT, False, 130, "attnexport: interrupted"),
        (signal.SIGINT, True, 130, "attnexport: interrupted"),
    ],
)
def test_a_signal_ends_the_child_with_one_line_and_leaves_nothing(
    saved: Path, tmp_path: Path, number, to_all, code, line
):
    for name in ("outputs", "temporary"):
        (tmp_path / name).mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "attnexport.cli", "convert", saved, "-o", "outputs/out.onnx"],
        cwd=tmp_path,
        env={**LIBRARIES, "TMPDIR": str(tmp_path / "temporary")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 30
    while not children.read_text().strip():
        assert time.monotonic() < end
        time.sleep(0.01)
    (os.killpg if to_all else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, without_progress(said).strip().splitlines()) == (code, [line])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["outputs", "temporary"]


def test_what_is_wrong_with_a_file_is_said_by_the_child_as_ever(tmp_path: Path):
    (tmp_path / "damaged.pt2").write_bytes(b"PK\x03\x04 cut")
    done = attnexport_of(tmp_path, "convert", "damaged.pt2", "-o", "out.onnx")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("attnexport: damaged.pt2: the file is truncated or damaged")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.pt2"]


@pytest.mark.needs("Landlock")
def test_what_the_child_may_not_read_is_said_with_the_way_out(saved: Path, tmp_path: Path):
    (tmp_path / "elsewhere.npz").write_bytes(b"")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.npz").symlink_to(tmp_path / "elsewhere.npz")
    done = attnexport_of(tmp_path, "check", saved, "torch:fp32", "--data", "data")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("--trust-model lifts that)")


@pytest.mark.parametrize("trusted", [("--trust-model",), ("--trust-pickle",), ("--model", "a:b")])
def test_limits_that_would_be_ignored_are_refused(saved: Path, tmp_path: Path, trusted: tuple[str, ...]):
    line = attnexport_of(tmp_path, "convert", saved, "-o", "o.onnx", *trusted, "--max-memory", 1).stderr
    assert line.startswith(f"attnexport: --max-memory: expected without {trusted[0]}")
