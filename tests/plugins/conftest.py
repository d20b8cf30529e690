"""Libraries and source folders for the tests of attnexport.plugins."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from attnexport.plugins.building.sources import Sources
from attnexport.plugins.calling.library import Library, load_library
from tests.plugins import libraries
from tests.tools import require

HERE = Path(__file__).parent


def compile_library(output: Path, *sources: Path, options: tuple[str, ...] = ()) -> Path:
    """Compiles C++ sources and the table of operators into a library with the host's compiler."""
    given = Sources()
    command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", *given.include_options, *options]
    subprocess.run([*command, "-o", str(output), str(given.registry), *map(str, sources)], check=True)
    return output


@pytest.fixture(scope="session")
def plain_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two operators for CPU tensors of type float32, that says nothing of how it was built."""
    require("g++")
    output = tmp_path_factory.mktemp("plain") / "libplain.so"
    narrow = ("-DATTNEXPORT_WITH_FLOAT16=0", "-DATTNEXPORT_WITH_BFLOAT16=0")
    return compile_library(output, HERE / "plain_ops.cpp", options=narrow)


@pytest.fixture(scope="session")
def plain_library(plain_path: Path) -> Library:
    """The same, open."""
    return load_library(plain_path)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A copy of the sources whose only kernel file is a small one."""
    root = tmp_path / "sources"
    for name in ("include", "kernels/common", "tensorrt"):
        shutil.copytree(Sources().root / name, root / name)
    shutil.copy(HERE / "small_kernel.cu", root / "kernels" / "krause.cu")
    return Sources(root)


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The kernels compiled for the CPU emulator."""
    objects = libraries.emulated_objects(tmp_path_factory)

    def link(folder: Path) -> None:
        libraries.link_emulated(folder / "libattnexport_cpu.so", objects)

    return load_library(libraries.made_once(tmp_path_factory, "emulated", link) / "libattnexport_cpu.so")


@pytest.fixture(scope="session")
def samples_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the V3 libraries of what the samples use, and build.log with what ptxas says of every kernel."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return libraries.samples_library(tmp_path_factory, monkeypatch)
