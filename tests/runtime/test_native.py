"""attnrt from Python, as far as it goes without TensorRT and a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from attnexport.backends.native import NativeBackend, NativeBuilder
from attnexport.errors import BackendError, InputError
from attnexport.files import bfloat16
from attnexport.plugins.runtime.engine import typed
from attnexport.plugins.runtime.interface import Dtype
from attnexport.plugins.runtime.request import EngineOptions, Profile, as_c
from attnexport.plugins.runtime.runtime import RUNTIME_VARIABLE, TENSORRT_VARIABLE, Runtime, find_runtime


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (RUNTIME_VARIABLE, TENSORRT_VARIABLE, "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_no_runtime_names_the_command_that_makes_one(tmp_path: Path):
    with pytest.raises(InputError, match=r"\$ATTNEXPORT_RUNTIME or in .*/cache/.*; attnexport runtime build compiles"):
        find_runtime()
    (tmp_path / "m.engine").touch()
    with pytest.raises(InputError, match="attnexport runtime build compiles"):
        NativeBackend(tmp_path / "m.engine")


def test_the_folder_of_the_variable_comes_first(runtime_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(RUNTIME_VARIABLE, str(runtime_folder))
    runtime = Runtime(find_runtime())
    assert (runtime.info.tensorrt, runtime.info.onnx_parser) == ("10.14.1", False)
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=rf"not found in \$ATTNEXPORT_RUNTIME, which is {tmp_path};"):
        find_runtime()


def test_a_cached_runtime_that_others_may_write(runtime_folder: Path, tmp_path: Path):
    cached = tmp_path / "cache" / "attnexport" / "runtime"
    cached.mkdir(parents=True)
    (cached / "libattnrt.so").write_bytes((runtime_folder / "libattnrt.so").read_bytes())
    assert find_runtime() == cached / "libattnrt.so"
    cached.chmod(0o777)
    with pytest.raises(InputError, match="that only you can write"):
        find_runtime()


def test_another_library_is_no_runtime(plain_path: Path):
    with pytest.raises(InputError, match="expected the library of attnexport runtime build, given another"):
        Runtime(plain_path)


def test_no_tensorrt(runtime_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(RUNTIME_VARIABLE, str(runtime_folder))
    with pytest.raises(
        BackendError, match=r"^TensorRT 10, for which attnrt was compiled, cannot be opened: libnvinfer"
    ):
        NativeBuilder()
    monkeypatch.setenv(TENSORRT_VARIABLE, str(tmp_path))
    with pytest.raises(BackendError, match=f"cannot be opened: {tmp_path}/libnvinfer.so.10: "):
        NativeBuilder()


def test_the_backend_works_where_there_is_no_torch(runtime_folder: Path):
    script = """
import sys
for name in ("torch", "onnx", "onnxruntime"):
    sys.modules[name] = None
from attnexport.backends.native import NativeBackend, NativeBuilder
from attnexport.errors import BackendError
try:
    NativeBuilder()
except BackendError as error:
    assert "libnvinfer" in str(error)
"""
    environment = {RUNTIME_VARIABLE: str(runtime_folder)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, capture_output=True)


@pytest.mark.parametrize(
    ("given", "wanted", "dtype"),
    [
        (np.array([1.5, -2.0], ">f4"), Dtype.FLOAT32, Dtype.FLOAT32),
        (np.array(3.0, np.float16), Dtype.FLOAT16, Dtype.FLOAT16),
        (np.arange(6).reshape(2, 3).T, Dtype.INT64, Dtype.INT64),
        (np.arange(6).reshape(2, 3).T, Dtype.INT32, Dtype.INT32),
        (np.array([True]), None, Dtype.BOOL),
    ],
    ids=["big-endian", "scalar", "transposed", "int64 for int32", "unknown input"],
)
def test_arrays_reach_the_library_with_their_values(given: NDArray[Any], wanted: Dtype | None, dtype: Dtype):
    array, found = typed("x", given, wanted)
    assert (found, array.shape, array.flags.c_contiguous) == (dtype, given.shape, True)
    assert array.tobytes() == given.astype(dtype.name.lower(), order="C").tobytes()


@pytest.mark.parametrize(
    ("given", "wanted", "line"),
    [
        (np.array([2**31]), Dtype.INT32, "x: the engine takes int32, given int64 with values that do not fit"),
        (np.zeros(1), Dtype.FLOAT32, "x: expected a type that engines take, given float64"),
        (np.zeros((1,) * 9, np.int8), Dtype.INT8, "x: expected at most 8 dims, given 9"),
    ],
)
def test_arrays_no_engine_takes(given: NDArray[Any], wanted: Dtype, line: str):
    with pytest.raises(BackendError, match=f"^{line}$"):
        typed("x", given, wanted)


def test_shapes_of_one_rank():
    options = EngineOptions({"x": Profile((1, 2), (1, 2, 3), (1, 2, 3))})
    with pytest.raises(BackendError, match=r"^x: expected shapes of one rank"):
        as_c(Path("m.onnx"), options, strongly_typed=True)


@pytest.mark.parametrize("shape", [(), (3, 5)])
def test_bfloat16_rounds_as_everyone_does(shape: tuple[int, ...]):
    values = np.random.default_rng(0).standard_normal(shape, np.float32) * np.float32(1e38)
    expected = values.astype(ml_dtypes.bfloat16)
    assert bfloat16.bits_of(values).tobytes() == expected.tobytes()
    assert bfloat16.bits_of(expected).tobytes() == expected.tobytes()
    np.testing.assert_array_equal(bfloat16.values_of(bfloat16.bits_of(values)), expected.astype(np.float32))


def test_bfloat16_at_the_edges():
    edges = [0.0, -0.0, np.inf, -np.inf, 3.4e38, 3.3895314e38, 1e-40, 1.00390625, 1.01171875, np.nan]
    values = np.array(edges, np.float32)
    read = bfloat16.values_of(bfloat16.bits_of(values))
    np.testing.assert_array_equal(read, values.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert np.array_equal(np.signbit(read[:-1]), np.signbit(values[:-1]))
