"""The process that builds: NVIDIA's parser may end it, and what it finds is not left to chance."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from attnexport.backends.tensorrt_bindings import BindingsBuilder
from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder
from attnexport.engines.shape_texts import parse_shapes
from attnexport.errors import BackendError
from attnexport.plugins.runtime.request import EngineOptions

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.timeout(900)]


@pytest.fixture
def model(converted: dict[Path, Path]) -> Path:
    (found,) = (path for sample, path in converted.items() if sample.stem == "topn")
    return found


def options(library: Path | None = None, shapes: str = "image=1x8x8:2x8x8:8x8x8") -> EngineOptions:
    return EngineOptions(parse_shapes([shapes]), plugins=library, sms=(86,))


@pytest.mark.slow
def test_a_parser_that_does_not_find_its_library_ends_the_building_process_alone(
    model: Path, library: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    with pytest.raises(BackendError, match=r"^TensorRT-RTX 1\S+: its process ended by SIGABRT"):
        BindingsBuilder("tensorrt_rtx", "TensorRT-RTX").build(model, options(library))
    assert TensorRtRtxBuilder().build(model, options(library)).plugin_nodes


def test_folders_of_libraries_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/mine")
    given = TensorRtRtxBuilder().environment(tmp_path)
    assert given == {"LD_LIBRARY_PATH": f"{tmp_path}{os.pathsep}/opt/mine"}
    assert (tmp_path / "libtensorrt_rtx.so").resolve().name.startswith("libtensorrt_rtx.so.")


def test_files_of_the_current_folder_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("json.py", "attnexport.py", "tensorrt_rtx.py"):
        (tmp_path / name).write_text("raise SystemExit('the current folder was imported')")
    monkeypatch.chdir(tmp_path)
    assert TensorRtRtxBuilder().survey(None, ["Relu", "Det"]).unknown_operators == {"Det"}


def test_a_failure_comes_in_tensorrts_words(model: Path):
    with pytest.raises(BackendError, match=r"^TensorRT-RTX 1\S+: .*Dimension mismatch for tensor image"):
        TensorRtRtxBuilder().build(model, options(shapes="image=1x8x7"))


def test_a_timing_cache_is_written_whole(model: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    for _ in range(2):
        TensorRtRtxBuilder().build(model, replace(options(), timing_cache=cache))
        assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert cache.stat().st_size > 0


def test_a_timing_cache_that_cannot_be_kept_costs_no_engine(model: Path, tmp_path: Path):
    built = TensorRtRtxBuilder().build(model, replace(options(), timing_cache=tmp_path / "gone" / "cache"))
    (note,) = built.notes
    assert built.engine
    assert note.startswith("the timing cache was not kept, and the next build times every layer again: ")
    assert note.endswith(f"expected an existing folder to write into, given {tmp_path / 'gone'}")


def test_a_package_that_is_not_there():
    with pytest.raises(BackendError, match=r"^TensorRT Lean: the Python package \w+ is not installed; "):
        BindingsBuilder("tensorrt_lean_dispatch", "TensorRT Lean")
