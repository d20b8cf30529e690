"""attnrt, compiled once for all workers of a test run against TensorRT's headers, without TensorRT itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.plugins.runtime.building import build_runtime
from attnexport.plugins.runtime.runtime import LIBRARY, PROGRAM
from tests.plugins.keeping import compiled_once
from tests.plugins.libraries import tensorrt_include
from tests.tools import require


@pytest.fixture(scope="session")
def runtime_folder() -> Path:
    """A folder of attnrt's library and program, for TensorRT 10.14 and without its ONNX parser."""
    include = tensorrt_include()
    require("g++")
    require("nvcc")

    def compile_all(folder: Path) -> None:
        built = build_runtime(folder, tensorrt_include=include)
        assert (built.library, built.program) == (folder / LIBRARY, folder / PROGRAM)

    return compiled_once("runtime", compile_all)
