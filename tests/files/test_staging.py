"""Output folders stay clean: what killed processes leave is swept, and nothing else is."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnexport.files.outputs import replacing
from attnexport.files.staging import staging_folder, sweep, work_folder

STAGE = """
import sys, time
from pathlib import Path
from attnexport.files.staging import staging_folder
with staging_folder(Path(sys.argv[1]), "out.onnx") as folder:
    (folder / "half").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has half written something, and its staging folder."""
    process = subprocess.Popen([sys.executable, "-c", STAGE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    staging = Path(process.stdout.readline().strip())
    assert (staging / "half").is_file()
    yield process, staging
    process.kill()
    process.wait()


def test_what_a_killed_process_left_is_swept_by_the_next_that_writes_there(owner, tmp_path: Path):
    process, staging = owner
    process.kill()
    process.wait()
    assert staging.is_dir()
    with replacing(tmp_path / "other.json") as folder:
        (folder / "other.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_every_temporary_folder_of_the_package_is_one_that_is_swept():
    package = Path(__file__).parents[2]
    sources = [path for room in ("exporter", "plugins", "calibration") for path in (package / room).rglob("*.py")]
    makers = [
        str(path.relative_to(package))
        for path in sources
        if re.search(r"TemporaryDirectory|NamedTemporaryFile|mkdtemp|mkstemp", path.read_text(encoding="utf-8"))
    ]
    assert [path for path in makers if not path.startswith("plugins/tests/")] == ["exporter/files/staging.py"]


WORK = """
import time
from attnexport.files.staging import work_folder
with work_folder() as folder:
    (folder / "half").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_work_folder_that_a_killed_process_left_is_swept_by_the_next(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    process.kill()
    process.wait()
    assert (left / "half").is_file()
    monkeypatch.setattr(tempfile, "tempdir", None)
    with work_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_living_process_stays(owner, tmp_path: Path):
    _, staging = owner
    sweep(tmp_path)
    assert (staging / "half").is_file()


def test_a_folder_of_this_process_stays(tmp_path: Path):
    with staging_folder(tmp_path, "out.onnx") as folder:
        sweep(tmp_path)
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())


def test_only_folders_named_as_ours_are_swept_and_no_link_is_followed(tmp_path: Path):
    kept = tmp_path / "kept"
    (kept / ".a.abcdefgh").mkdir(parents=True)
    (kept / "a.abcdefgh.attnexport").mkdir()
    (kept / ".a.abcdefg1.attnexport").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("")
    (kept / ".a.abcdefg2.attnexport").symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    sweep(kept)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_long_name_can_be_staged(tmp_path: Path):
    path = tmp_path / ("n" * 255)
    with replacing(path) as folder:
        (folder / path.name).write_text("")
    assert path.is_file()


WITHOUT_LOCKS = """
import signal, sys
from pathlib import Path
sys.modules["fcntl"] = None
del signal.SIGHUP
from attnexport.cli import main
from attnexport.files.outputs import replacing
with replacing(Path(sys.argv[1]) / "out.json") as folder:
    (folder / "out.json").write_text("{}")
main(["targets"])
"""


def test_a_system_without_locks_of_folders_and_sighup_writes_outputs_all_the_same(tmp_path: Path):
    command = [sys.executable, "-c", WITHOUT_LOCKS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "jetson-orin" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
