"""attnrt reads what NumPy writes and NumPy reads what attnrt writes; damaged files are refused in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.runtime.conftest import Copy

DTYPES = ("float32", "float16", "int32", "int64", "int8", "uint8", "bool")
SHAPES = ((), (0,), (1,), (7,), (3, 0, 2), (2, 3, 5), (1, 2, 1, 2, 1, 2, 1, 2))


def values(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Distinct numbers, as far as the type has them."""
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_an_npz_keeps_every_type_shape_and_value(copy_arrays: Copy, tmp_path: Path, save: Any):
    arrays = {f"{dtype}/{shape}": values(shape, dtype) for dtype in DTYPES for shape in SHAPES}
    save(tmp_path / "in.npz", **arrays)
    done = copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", *arrays)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as copied:
        assert copied.files == list(arrays)
        for name, array in arrays.items():
            assert copied[name].dtype == array.dtype
            np.testing.assert_array_equal(copied[name], array)


@pytest.mark.parametrize("shape", SHAPES[2:])
def test_fortran_order_becomes_c_order(copy_arrays: Copy, tmp_path: Path, shape: tuple[int, ...]):
    array = np.asfortranarray(values(shape, "float32"))
    np.save(tmp_path / "in.npy", array)
    assert copy_arrays(tmp_path / "in.npy", tmp_path / "out.npy", "x").returncode == 0
    copied = np.load(tmp_path / "out.npy")
    assert copied.flags.c_contiguous
    np.testing.assert_array_equal(copied, array)


def test_bfloat16_is_two_raw_bytes(copy_arrays: Copy, tmp_path: Path):
    array = np.array([0.0, -1.5, 3e38, np.inf], ml_dtypes.bfloat16)
    np.savez(tmp_path / "in.npz", typed=array, bits=array.view(np.uint16))
    done = copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", "typed", "bits")
    assert done.stdout == "typed bfloat16 4\nbits bfloat16 4\n"
    with np.load(tmp_path / "out.npz") as copied:
        for name in ("typed", "bits"):
            np.testing.assert_array_equal(copied[name].view(ml_dtypes.bfloat16), array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(copy_arrays: Copy, tmp_path: Path, version: tuple[int, int]):
    with (tmp_path / "in.npy").open("wb") as file:
        np.lib.format.write_array(file, values((2, 3), "int32"), version)
    assert copy_arrays(tmp_path / "in.npy", tmp_path / "out.npy", "x").returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), values((2, 3), "int32"))


def test_sizes_in_zip64_records(copy_arrays: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Python then writes every size and offset as if it did not fit 32 bits.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 0)
    np.savez(tmp_path / "in.npz", x=values((5,), "float32"), y=values((2,), "int64"))
    assert copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", "y", "x").returncode == 0
    with np.load(tmp_path / "out.npz") as copied:
        np.testing.assert_array_equal(copied["x"], values((5,), "float32"))


def test_only_the_arrays_asked_for_are_read(copy_arrays: Copy, tmp_path: Path):
    np.savez(tmp_path / "in.npz", x=np.ones(3, np.float32), labels=np.array(["a", "b"]))
    done = copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", "x")
    assert (done.returncode, done.stdout) == (0, "x float32 3\n")


@pytest.mark.parametrize(
    ("array", "given"),
    [
        (np.zeros(2), "given <f8"),
        (np.zeros(2, ">f4"), "given >f4"),
        (np.array(["a"]), "given <U1"),
        (np.array([{}], object), "given |O"),
        (np.zeros((1,) * 9, np.float32), "at most 8 dims"),
    ],
    ids=["float64", "big-endian", "text", "objects", "9 dims"],
)
def test_what_engines_do_not_take(copy_arrays: Copy, tmp_path: Path, array: NDArray[Any], given: str):
    np.savez(tmp_path / "in.npz", x=array)
    done = copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", "x")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path}/in.npz: x: expected")
    assert given in done.stderr
    assert not (tmp_path / "out.npz").exists()


def test_a_missing_array_is_named_beside_those_that_are_there(copy_arrays: Copy, tmp_path: Path):
    np.savez(tmp_path / "in.npz", image=np.zeros(1, np.float32), labels=np.zeros(1, np.int64))
    done = copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", "x")
    assert done.stderr == f"{tmp_path}/in.npz: expected one array x, given 0 (image, labels)\n"


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_damaged_file_is_refused_or_read_right(copy_arrays: Copy, tmp_path: Path, ending: str):
    """Cut off anywhere it is refused; with any byte changed it never ends in a crash, nor in other values."""
    good, bad, out = (tmp_path / f"{name}.{ending}" for name in ("good", "bad", "out"))
    array = values((2, 2), "int32")
    if ending == "npy":
        np.save(good, array)
    else:
        np.savez_compressed(good, x=array)
    content = good.read_bytes()
    for length in range(0, len(content), 3):
        bad.write_bytes(content[:length])
        done = copy_arrays(bad, out, "x")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), (length, done)
    # A .npy has no checksum over its values, its last 16 bytes.
    for position in range(len(content) - (16 if ending == "npy" else 0)):
        bad.write_bytes(content[:position] + bytes([content[position] ^ 0x5A]) + content[position + 1 :])
        done = copy_arrays(bad, out, "x")
        assert (done.returncode, len(done.stderr.splitlines())) in ((0, 0), (2, 1)), (position, done)
        if done.returncode == 0:
            loaded = np.load(out)
            np.testing.assert_array_equal(loaded["x"] if ending == "npz" else loaded, array)


def test_a_small_file_that_claims_to_be_huge(copy_arrays: Copy, tmp_path: Path):
    np.savez_compressed(tmp_path / "in.npz", x=np.zeros(4, np.float32))
    content = bytearray((tmp_path / "in.npz").read_bytes())
    header = content.rindex(b"PK\x01\x02")
    content[header + 24 : header + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "in.npz").write_bytes(content)
    done = copy_arrays(tmp_path / "in.npz", tmp_path / "out.npz", "x")
    assert (done.returncode, done.stderr) == (
        2,
        f"{tmp_path}/in.npz: x: expected compressed data, given too little of it\n",
    )
