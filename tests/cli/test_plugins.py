"""``attnexport plugins build`` and ``attnexport plugins info``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.plugins.building import tensorrt_headers, toolchain
from tests.cli.commands import Refuse, Run
from tests.plugins.libraries import tensorrt_include

needs_nvcc = pytest.mark.needs("nvcc")


@pytest.mark.parametrize("name", ["build", "info"])
def test_help_pages_do_not_import_torch(name: str):
    script = f"""
import sys
from attnexport.cli import main
try:
    main(["plugins", "{name}", "--help"], prog_name="attnexport")
except SystemExit as end:
    assert not end.code
assert not {{"torch", "onnx", "numpy", "ctypes"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_help_says_that_reading_a_library_runs_it(run: Run):
    assert "runs its code" in run("plugins", "info", "--help").text


def test_no_compiler(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(toolchain, "_USUAL_FOLDER", tmp_path / "none")
    monkeypatch.setattr(toolchain, "_wheels", list)
    line = refuse("plugins", "build", "--arch", 87, "--api", "none", "-o", tmp_path / "out")
    assert "nvcc: not found in $CUDA_HOME/bin, on PATH, in /usr/local/cuda/bin or among this Python's packages" in line
    assert "pip install 'attnexport[cuda]'" in line
    assert "CUDA toolkit" in line


@needs_nvcc
def test_an_unknown_architecture(refuse: Refuse, tmp_path: Path):
    line = refuse("plugins", "build", "--arch", 75, "--api", "none", "-o", tmp_path / "out")
    assert line == "attnexport: --arch: expected one of 80 86 87 89 90 100 101 110 120, given 75"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target", "jetson-xavier-jp5"), "--target: the kernels do not run on SM 72 of jetson-xavier-jp5"),
        (("--target", "rtx", "--arch", 86), "--arch: expected none with --target rtx, which is SM 80 86 89 120"),
        (("--target", "rtx", "--api", "v2"), "--api: expected v3 for target rtx, given v2"),
        (("--target", "tpu"), "--target: expected one of jetson-xavier-jp5, "),
    ],
)
def test_targets_that_do_not_fit(options: tuple[object, ...], said: str, refuse: Refuse, tmp_path: Path):
    assert refuse("plugins", "build", *options, "-o", tmp_path / "out").startswith(f"attnexport: {said}")


@needs_nvcc
def test_a_target_names_the_plugin_interface(refuse: Refuse, tmp_path: Path):
    include = tensorrt_include()
    options = ("--target", "jetson-orin-jp6.0", "--tensorrt-include", include, "-o", tmp_path / "out")
    assert refuse("plugins", "build", *options).startswith("attnexport: --api: expected v3 for TensorRT 10.14")


@needs_nvcc
def test_no_headers(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TENSORRT_ROOT", raising=False)
    monkeypatch.setattr(tensorrt_headers, "_system_folders", list)
    line = refuse("plugins", "build", "--arch", 87, "-o", tmp_path / "out")
    for part in ("--tensorrt-include", "$TENSORRT_ROOT", "/usr/include", "libnvinfer-dev", "--api none"):
        assert part in line


@needs_nvcc
def test_a_model_without_our_nodes(refuse: Refuse, run: Run, tmp_path: Path):
    model = tmp_path / "plain.onnx"
    assert run("convert", "--model", "tests.cli.models:Plain", "--inputs", "x=2x16", "-o", model).code == 0
    line = refuse("plugins", "build", "--arch", 87, "--api", "none", "--for", model, "-o", tmp_path / "out")
    assert line == f"attnexport: --for: expected nodes of attnexport in {model}, given a model without any"


@needs_nvcc
@pytest.mark.parametrize(
    ("below", "said"),
    [
        ("file", "expected a folder for the libraries, given a file"),
        ("file/out", "expected an existing folder to write into"),
        ("none/out", "expected an existing folder to write into"),
    ],
)
def test_a_folder_that_cannot_be_written(below: str, said: str, refuse: Refuse, tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert said in refuse("plugins", "build", "--arch", 87, "--api", "none", "-o", tmp_path / below)


def test_info_of_a_library(run: Run, plain_path: Path):
    result = run("plugins", "info", plain_path)
    assert (result.code, result.err) == (0, "")
    assert "q k v alpha beta kv_lengths q_start scale:number causal:integer" in result.text
    assert "query_factors[] key_factors[] v" in result.text
    assert result.out.splitlines()[-1] == f"FOUND {plain_path}: 2 operators for SM ?"


def test_info_as_json(run: Run, plain_path: Path):
    result = run("plugins", "info", plain_path, "--json")
    facts = json.loads(result.out)
    assert facts["abi"] == 1
    assert facts["operators"][0] == {
        "name": "AffineScaledAttention",
        "inputs": [
            {"name": name, "count_attribute": None, "optional": name in ("kv_lengths", "q_start")}
            for name in ("q", "k", "v", "alpha", "beta", "kv_lengths", "q_start")
        ],
        "attributes": [{"name": "scale", "kind": "number"}, {"name": "causal", "kind": "integer"}],
        "dtypes": ["float32"],
    }


def test_info_of_random_bytes(refuse: Refuse, tmp_path: Path):
    noise = tmp_path / "noise.so"
    noise.write_bytes(os.urandom(1000))
    assert f"{noise}: expected a plugin library, but it cannot be opened" in refuse("plugins", "info", noise)
    assert "no such file" in refuse("plugins", "info", tmp_path / "none.so")
