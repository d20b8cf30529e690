"""Libraries and source folders for the tests of attnexport.plugins."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from attnexport.plugins.building.sources import Sources
from attnexport.plugins.calling.library import Library, load_library
from tests.plugins import libraries
from tests.plugins.keeping import compiled_once

HERE = Path(__file__).parent


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A copy of the sources whose only kernel file is a small one."""
    root = tmp_path / "sources"
    for name in ("include", "kernels/common", "tensorrt"):
        shutil.copytree(Sources().root / name, root / name)
    shutil.copy(HERE / "small_kernel.cu", root / "kernels" / "krause.cu")
    return Sources(root)


@pytest.fixture(scope="session")
def emulated_library() -> Library:
    """The kernels compiled for the CPU emulator."""
    objects = libraries.emulated_objects()

    def link(folder: Path) -> None:
        libraries.link_emulated(folder / "libattnexport_cpu.so", objects)

    return load_library(compiled_once("emulated", link) / "libattnexport_cpu.so")


@pytest.fixture(scope="session")
def samples_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the V3 libraries of what the samples use, and build.log with what ptxas says of every kernel."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return libraries.samples_library(tmp_path_factory, monkeypatch)
