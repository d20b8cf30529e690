"""The program attnrt: what it refuses, in one line with exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from attnexport.plugins.runtime.runtime import PROGRAM
from tests.runtime.conftest import Refuse
from tests.tools import require

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of files that are there, whatever is in them."""
    for name in ("m.onnx", "m.engine", "lib.so"):
        (tmp_path / name).write_bytes(b"nothing of use")
    np.savez(tmp_path / "in.npz", x=np.zeros(1, np.float32))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("compile m.onnx", "compile: expected build, run or inspect; attnrt --help shows more"),
        ("build", "expected MODEL.onnx, given none; attnrt --help shows more"),
        ("build m.onnx", "-o: expected a value, given none"),
        ("build m.onnx -o", "-o: expected a value, given none"),
        ("build m.onnx n.onnx -o m.plan", "n.onnx: expected one MODEL.onnx, given a second"),
        ("build m.onnx -o m.plan --fast", "--fast: no such option; attnrt --help shows them"),
        ("build m.onnx -o m.onnx", "m.onnx: expected another name for the output, given the input m.onnx"),
        ("build m.onnx -o no/m.plan", "no/m.plan: expected an existing folder to write into, given no"),
        ("build m.onnx -o .", ".: expected a file to write, given a folder"),
        ("run m.engine", "--data: expected a value, given none"),
        ("run m.engine --data in.npz --time 0", "--time: expected a whole number of at least 1, given 0"),
        ("run m.engine --data in.npz --time many", "--time: expected a whole number of at least 1, given many"),
        (
            "run m.engine --data in.npz -o in.npz",
            "in.npz: expected another name for the output, given the input in.npz",
        ),
        ("inspect m.engine --json no/m.json", "no/m.json: expected an existing folder to write into, given no"),
    ],
)
def test_arguments(refuse_program: Refuse, files: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, line: str):
    monkeypatch.chdir(files)
    assert refuse_program(*arguments.split()) == line


@pytest.mark.parametrize("command", ["build m.onnx -o m.plan", "run m.engine --data in.npz", "inspect m.engine"])
def test_no_tensorrt(refuse_program: Refuse, files: Path, monkeypatch: pytest.MonkeyPatch, command: str):
    monkeypatch.chdir(files)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    line = refuse_program(*command.split())
    assert line.startswith("TensorRT 10, for which attnrt was compiled, cannot be opened: libnvinfer.so.10: ")


def test_a_folder_of_another_tensorrt(refuse_program: Refuse, files: Path):
    (files / "libnvinfer.so.8").write_bytes(b"")
    line = refuse_program("inspect", files / "m.engine", "--tensorrt", files)
    assert line.startswith(f"TensorRT 10, for which attnrt was compiled, cannot be opened: {files}/libnvinfer.so.10: ")
    assert line.endswith(f"; {files} has libnvinfer.so.8, for which attnrt has to be compiled again")


def test_a_library_of_another_version(refuse_program: Refuse, files: Path):
    """TensorRT-RTX 1.7 under the name of TensorRT 10: its classes have other virtual functions."""
    libraries = require("tensorrt-rtx").with_name("tensorrt_rtx_libs")
    os.symlink(libraries / "libtensorrt_rtx.so.1", files / "libnvinfer.so.10")
    line = refuse_program("inspect", files / "m.engine", "--tensorrt", files)
    assert line.startswith(f"{files}/libnvinfer.so.10: attnrt was compiled for TensorRT 10.14.1, expected that or a ")
    assert ", given TensorRT 1." in line


def test_help_and_version(runtime_folder: Path):
    def said(option: str) -> str:
        return subprocess.run([runtime_folder / PROGRAM, option], capture_output=True, text=True, check=True).stdout

    for option in ("-o", "--shapes", "--precision", "--timing-cache", "--data", "--graph", "--allow-host-code"):
        assert option in said("--help")
    version = json.loads(said("--version"))
    assert (version["tensorrt"], version["onnx_parser"]) == ("10.14.1", False)
