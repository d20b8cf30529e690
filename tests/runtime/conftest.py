"""attnrt's program, and its code that reads and writes arrays."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from attnexport.plugins.runtime.building import RuntimeSources
from attnexport.plugins.runtime.runtime import LIBRARY, PROGRAM
from tests.plugins.keeping import compiled_once
from tests.plugins.libraries import run_all
from tests.tools import require

Refuse = Callable[..., str]
Copy = Callable[..., "subprocess.CompletedProcess[str]"]

_ARRAY_SOURCES = ("array", "array_files", "crc32", "deflate", "files", "npy", "npy_header", "zip")


@pytest.fixture
def refuse_program(runtime_folder: Path, tmp_path: Path) -> Refuse:
    """Runs the program, which must fail with exit code 2, one line and no new file; returns the line."""

    def invoke(*args: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        command = [str(runtime_folder / PROGRAM), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, ""), done
        (line,) = done.stderr.splitlines()
        assert line.startswith("attnrt: ")
        assert sorted(tmp_path.rglob("*")) == before
        return line.removeprefix("attnrt: ")

    return invoke


@pytest.fixture(scope="session")
def copy_arrays() -> Copy:
    """Copies arrays from one .npz or .npy to another with attnrt's code: copy_arrays(source, target, *names)."""
    require("g++")
    require("zlib")
    sources = RuntimeSources()
    files = [path for path in sources.program if path.stem in _ARRAY_SOURCES]
    files.append(Path(__file__).parent / "copy_arrays.cpp")
    options = ["-std=c++17", "-O1", "-D_GLIBCXX_ASSERTIONS", "-DATTNRT_ZLIB", f"-I{sources.include}"]
    options.append(f"-I{sources.root / 'program'}")

    def compile_all(folder: Path) -> None:
        objects = {path: str(folder / f"{path.name}.o") for path in files}
        run_all([["g++", *options, "-c", str(path), "-o", target] for path, target in objects.items()])
        subprocess.run(["g++", "-o", str(folder / "copy_arrays"), *objects.values(), "-lz"], check=True)

    program = compiled_once("copy_arrays", compile_all) / "copy_arrays"

    def invoke(source: Path, target: Path, *names: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), str(source), str(target), *names]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return invoke


@pytest.fixture(scope="session")
def fake_runtime() -> Path:
    """A folder of a libattnrt.so without TensorRT behind it."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")

    def compile_all(folder: Path) -> None:
        options = ["-shared", "-fPIC", f"-I{RuntimeSources().include}", "-o", str(folder / LIBRARY)]
        subprocess.run(["gcc", *options, str(Path(__file__).with_name("fake_attnrt.c"))], check=True)

    return compiled_once("fake_runtime", compile_all)
