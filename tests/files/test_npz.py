"""Arrays of .npz files: what NumPy wrote comes back, nothing else is read, and the file's size bounds the memory."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.files.npz import open_arrays, read_arrays, write_arrays

ARRAYS = {
    "plain": np.random.default_rng(0).standard_normal((3, 4, 5)),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "number": np.array(3),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
    "big-endian": np.arange(3, dtype=">i4"),
    "complex": np.array([1j]),
    "größe/层": np.arange(2, dtype=np.uint16),
}


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive(path: Path, *entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as written:
        for name, data in entries:
            written.writestr(name, data)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saved_comes_back(tmp_path: Path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    given = read_arrays(tmp_path / "a.npz")
    assert list(given) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (given[name].dtype, given[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(given[name], array)


def test_bfloat16_comes_back_as_single_precision(tmp_path: Path):
    values = np.array([[1.5, -2.0, 3.25]]).astype(ml_dtypes.bfloat16)
    write_arrays(tmp_path / "a.npz", {"x": values.view("V2")})
    (given,) = read_arrays(tmp_path / "a.npz").values()
    assert given.dtype == np.float32
    assert np.array_equal(given, values.astype(np.float32))


def test_an_array_that_nobody_asked_for_is_not_read(tmp_path: Path):
    entries = (("x.npy", npy(np.ones(3))), ("damaged.npy", b"noise"), ("objects.npy", npy(np.array([None]))))
    path = archive(tmp_path / "a.npz", *entries)
    assert np.array_equal(read_arrays(path, ["x"])["x"], np.ones(3))
    with open_arrays(path) as stored:
        assert list(stored) == ["x", "damaged", "objects"]


def test_a_missing_array_is_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with pytest.raises(InputError, match=r"a\.npz: expected an array y, given x"):
        read_arrays(tmp_path / "a.npz", ["y"])


def header(text: str, values: bytes = bytes(24), version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode("latin-1") + values


def described(descr: str = "'<f8'", order: str = "False", shape: str = "(3,)") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")


ENTRIES = {
    "text": b"not an array",
    "nothing": b"",
    "cut in the magic": npy(np.ones(3))[:5],
    "cut in the header": npy(np.ones(3))[:60],
    "cut in the values": npy(np.ones(3))[:-1],
    "more than its values": npy(np.ones(3)) + b"\x00",
    "nested tuples": described(shape="(" * 900 + "3," + ")" * 900),
    "nested minus signs": described(shape="(" + "-" * 3000 + "3,)"),
    "an unfinished text": described(descr="'<f8"),
    "a call": described(descr="__import__('os').getpid()"),
    "objects": npy(np.array([None])),
    "texts": npy(np.array(["a", "b"])),
    "records": npy(np.zeros(3, [("a", "f4")])),
    "times": npy(np.zeros(3, "M8[s]")),
    "a wide type": described(descr="'<U400000000'", shape="(0,)"),
    "sizes beyond the file": described(shape="(2000000000, 6, 16)"),
    "sizes beyond 64 bits": described(shape="(9999999999999999999999, 0)"),
    "a negative size": described(shape="(-3,)"),
    "many axes": described(shape=f"({'1, ' * 60})"),
    "an order that is no order": described(order="'C'"),
    "version 9": header("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", version=b"\x09\x00"),
    "a nested archive": b"PK\x03\x04" + bytes(40),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_a_damaged_array_is_one_line(tmp_path: Path, case: str):
    path = archive(tmp_path / "a.npz", ("x.npy", ENTRIES[case]))
    with pytest.raises(InputError) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"{path}: expected an .npz archive of plain arrays: array x: ")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("entries", "compression", "said"),
    [
        ([("x.npy", npy(np.ones(3))), ("readme.txt", b"hello")], zipfile.ZIP_STORED, "given readme.txt"),
        ([("folder/", b"")], zipfile.ZIP_STORED, "given folder/"),
        ([("x.npy", npy(np.ones(3)))], zipfile.ZIP_LZMA, "x.npy is neither"),
        ([("x.npy", npy(np.ones(3)))], zipfile.ZIP_BZIP2, "x.npy is neither"),
    ],
)
def test_entries_that_are_no_arrays_are_named(tmp_path: Path, entries, compression, said):
    path = archive(tmp_path / "a.npz", *entries, compression=compression)
    with pytest.raises(InputError, match=said):
        read_arrays(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice(tmp_path: Path):
    path = archive(tmp_path / "a.npz", ("x.npy", npy(np.ones(3))), ("x.npy", npy(np.zeros(3))))
    with pytest.raises(InputError, match="expected one array x, given two"):
        read_arrays(path)


def test_one_altered_value_is_found(tmp_path: Path):
    path = archive(tmp_path / "a.npz", ("x.npy", npy(np.full(3, 7.25))))
    path.write_bytes(path.read_bytes().replace(np.float64(7.25).tobytes(), np.float64(7.5).tobytes(), 1))
    with pytest.raises(InputError, match="array x: Bad CRC-32"):
        read_arrays(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"noise" * 99, npy(np.ones(3))])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: expected an \.npz archive of plain arrays"):
        read_arrays(tmp_path / "a.npz")


def peak_bytes(path: Path, names: str) -> int:
    """Of a process that reads those arrays, beyond what it took before."""
    code = (
        "import resource, sys, pathlib; from attnexport.files.npz import read_arrays\n"
        "from attnexport.errors import InputError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: read_arrays(pathlib.Path(sys.argv[1]), sys.argv[2].split(','))\n"
        "except InputError as error: print(error, file=sys.stderr)\n"
        "print(1024 * (peak() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), names], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(resource.getpagesize() > 65536, reason="resident sizes are too coarse")
def test_a_file_of_one_mebibyte_takes_no_gibibyte(tmp_path: Path):
    zeros = npy(np.zeros(1 << 30, np.uint8))
    path = archive(
        tmp_path / "a.npz", ("x.npy", npy(np.ones(3))), ("huge.npy", zeros), compression=zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 2 << 20
    assert peak_bytes(path, "x") < 32 << 20
    assert peak_bytes(path, "huge") < 32 << 20


@pytest.mark.parametrize("laid", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pieces_along_the_first_axis_are_the_array(
    tmp_path: Path, laid: Callable[[np.ndarray], np.ndarray], save: Callable[..., None]
):
    x = np.random.default_rng(0).normal(size=(11, 3, 2)).astype(np.float32)
    save(tmp_path / "a.npz", x=laid(x), bits=x.astype(ml_dtypes.bfloat16), none=np.zeros((0, 4)))
    with open_arrays(tmp_path / "a.npz") as stored:
        pieces = list(stored["x"].pieces(4))
        assert [len(piece) for piece in pieces] == [4, 4, 3]
        assert np.array_equal(np.concatenate(pieces), x)
        assert np.array_equal(np.concatenate(list(stored["bits"].pieces(5))), x.astype(ml_dtypes.bfloat16))
        assert list(stored["none"].pieces(4)) == []


def test_pieces_of_one_file_are_read_side_by_side_and_altered_ones_are_refused(tmp_path: Path):
    x = np.arange(24.0).reshape(12, 2)
    np.savez(tmp_path / "a.npz", x=x, y=-x)
    with open_arrays(tmp_path / "a.npz") as stored:
        for left, right in zip(stored["x"].pieces(5), stored["y"].pieces(5), strict=True):
            assert np.array_equal(left, -right)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(content.replace(np.float64(7).tobytes(), np.float64(8).tobytes()))
    with open_arrays(tmp_path / "b.npz") as stored, pytest.raises(InputError, match="array x: Bad CRC-32"):
        list(stored["x"].pieces(5))


def test_pieces_hold_no_more_of_a_file_than_their_rows(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.ones((64, 1 << 17), np.float32))
    tracemalloc.start()
    try:
        with open_arrays(tmp_path / "a.npz") as stored:
            assert sum(float(piece.sum()) for piece in stored["x"].pieces(2)) == 64 << 17
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
