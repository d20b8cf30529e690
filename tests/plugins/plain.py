"""A library of two operators that the host's compiler makes in a moment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from attnexport.plugins.building.sources import Sources
from attnexport.plugins.calling.library import Library, load_library
from tests.plugins.keeping import compiled_once
from tests.tools import require

HERE = Path(__file__).parent


def compile_library(output: Path, *sources: Path, options: tuple[str, ...] = ()) -> Path:
    """Compiles C++ sources and the table of operators into a library with the host's compiler."""
    given = Sources()
    command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", *given.include_options, *options]
    subprocess.run([*command, "-o", str(output), str(given.registry), *map(str, sources)], check=True)
    return output


@pytest.fixture(scope="session")
def plain_path() -> Path:
    """A library of two operators for CPU tensors of type float32, that says nothing of how it was built."""
    require("g++")

    def compile_all(folder: Path) -> None:
        narrow = ("-DATTNEXPORT_WITH_FLOAT16=0", "-DATTNEXPORT_WITH_BFLOAT16=0")
        compile_library(folder / "libplain.so", HERE / "plain_ops.cpp", options=narrow)

    return compiled_once("plain", compile_all) / "libplain.so"


@pytest.fixture(scope="session")
def plain_library(plain_path: Path) -> Library:
    """The same, open."""
    return load_library(plain_path)
