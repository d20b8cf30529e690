"""Plugin libraries that register themselves: attnrt takes them, whoever opened them first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.plugins.runtime.runtime import LIBRARY
from tests.plugins.keeping import compiled_once
from tests.plugins.libraries import cuda_include, run_all, tensorrt_include
from tests.tools import require

HERE = Path(__file__).parent
SCRIPT = """
import ctypes, sys
from pathlib import Path
from attnexport.errors import BackendError
from attnexport.plugins.runtime.runtime import Runtime
from attnexport.plugins.runtime.request import EngineOptions
runtime, folder, plugins, before = sys.argv[1:]
tensorrt = Runtime(Path(runtime)).open_tensorrt(Path(folder))
if before == "open before":
    ctypes.CDLL(plugins)
try:
    tensorrt.build(Path(plugins), EngineOptions(plugins=Path(plugins)))
except BackendError as error:
    print(error)
"""


@pytest.fixture(scope="session")
def fakes() -> Path:
    """A folder of libnvinfer.so.10, which is none, and of libself.so, which registers a plugin with it."""
    require("g++")
    includes = ["-isystem", str(tensorrt_include()), "-isystem", str(cuda_include())]
    options = ["-std=c++17", "-O1", "-shared", "-fPIC", "-Wno-deprecated-declarations", *includes]
    sources = {"libnvinfer.so.10": "fake_tensorrt.cpp", "libself.so": "self_registering.cpp"}

    def compile_all(folder: Path) -> None:
        run_all([["g++", *options, "-o", str(folder / name), str(HERE / file)] for name, file in sources.items()])

    return compiled_once("fakes", compile_all)


def said(runtime: Path, fakes: Path, plugins: Path, before: str = "") -> str:
    """What attnrt says of a build with a plugin library, whose model is never read, in a process of its own."""
    command = [sys.executable, "-c", SCRIPT, str(runtime / LIBRARY), str(fakes), str(plugins), before]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("before", ["", "open before"])
def test_a_library_that_registers_itself(runtime_folder: Path, fakes: Path, before: str):
    assert said(runtime_folder, fakes, fakes / "libself.so", before) == "TensorRT cannot create its builder"


def test_a_library_that_registers_nothing(runtime_folder: Path, fakes: Path, plain_path: Path):
    line = said(runtime_folder, fakes, plain_path)
    assert line.startswith(f"{plain_path}: registered no plugin with TensorRT 10.14.1; is it a plugin library")
