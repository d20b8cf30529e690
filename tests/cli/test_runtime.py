"""``attnexport runtime build`` and ``attnexport runtime info``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.plugins.building import tensorrt_headers, toolchain
from attnexport.plugins.runtime.runtime import RUNTIME_VARIABLE
from tests.cli.commands import Refuse, Run
from tests.plugins.libraries import tensorrt_include

OLD = "#define NV_TENSORRT_MAJOR 8\n#define NV_TENSORRT_MINOR 4\n#define NV_TENSORRT_PATCH 1\n"


@pytest.mark.parametrize("name", ["build", "info"])
def test_help_pages_do_not_import_torch(name: str):
    script = f"""
import sys
from attnexport.cli import main
try:
    main(["runtime", "{name}", "--help"], prog_name="attnexport")
except SystemExit as end:
    assert not end.code
assert not {{"torch", "onnx", "numpy", "ctypes"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_no_headers(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TENSORRT_ROOT", raising=False)
    monkeypatch.setattr(tensorrt_headers, "_system_folders", list)
    line = refuse("runtime", "build", "-o", tmp_path / "out")
    for part in ("--tensorrt-include", "$TENSORRT_ROOT", "/usr/include", "libnvinfer-dev"):
        assert part in line


def test_headers_of_an_old_tensorrt(refuse: Refuse, tmp_path: Path):
    (tmp_path / "NvInferVersion.h").write_text(OLD)
    line = refuse("runtime", "build", "--tensorrt-include", tmp_path, "-o", tmp_path / "out")
    assert line == f"attnexport: TensorRT 8.4.1: expected TensorRT 8.5 or later, in {tmp_path}"


def test_no_compiler(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(toolchain, "_USUAL_FOLDER", tmp_path / "none")
    monkeypatch.setattr(toolchain, "_wheels", list)
    line = refuse("runtime", "build", "--tensorrt-include", tensorrt_include(), "-o", tmp_path / "out")
    assert "nvcc: not found" in line


def test_a_folder_without_the_parsers_header(refuse: Refuse, tmp_path: Path):
    options = ["--tensorrt-include", tensorrt_include(), "--parser-include", tmp_path]
    line = refuse("runtime", "build", *options, "-o", tmp_path / "out")
    assert line == f"attnexport: --parser-include: expected a folder with NvOnnxParser.h, given {tmp_path}"


def test_the_parsers_header_of_an_early_release(refuse: Refuse, tmp_path: Path):
    (tmp_path / "NvOnnxParser.h").write_text(
        "enum class OnnxParserFlag : int32_t\n{\n    kVERSION_COMPATIBLE = 0\n};\n"
    )
    options = ["--tensorrt-include", tensorrt_include(), "--parser-include", tmp_path]
    line = refuse("runtime", "build", *options, "-o", tmp_path / "out")
    assert line.startswith(
        f"attnexport: {tmp_path / 'NvOnnxParser.h'}: expected that of onnx-tensorrt's 8.6-GA, given "
    )


def test_info(run: Run, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(RUNTIME_VARIABLE, str(runtime_folder))
    result = run("runtime", "info", "--tensorrt", runtime_folder)
    assert (result.code, result.err) == (0, "")
    assert "TensorRT headers 10.14.1" in result.text
    assert result.out.splitlines()[-1].startswith("FOUND ")
    assert "builds engines no, it was compiled without NvOnnxParser.h" in result.text
    assert "TensorRT none: TensorRT 10, for which attnrt was compiled, cannot be opened: " in result.text


def test_info_without_a_runtime(refuse: Refuse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path))
    assert "attnexport runtime build compiles it" in refuse("runtime", "info")
