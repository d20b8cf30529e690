"""Arrays in .npz files: read one by one, each after its header was held to the file's own size."""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from attnexport.errors import InputError, nearest
from attnexport.files import bfloat16
from attnexport.files.npz_kind import ARRAY, check_is_npz
from attnexport.files.outputs import replacing

UNPACKED = 256 << 20
"""Bytes that the arrays read from a file may take, whatever its size."""

UNPACKED_TIMES = 20
"""How many times its own size a larger file may take."""

_BFLOAT16 = np.dtype("V2")
"""What NumPy, which has no bfloat16, takes its two bytes for."""

_ENCRYPTED = 0x1
_LONGEST_HEADER = 4096
_MOST_ENTRIES = 100_000
_MOST_AXES = 32
_PIECE = 1 << 20

_PAIR = r"'(?:descr|fortran_order|shape)'\s*:\s*(?:'[^'\\]*'|True|False|\([\d\s,L]*\))"
_HEADER = re.compile(rf"\s*\{{\s*{_PAIR}(?:\s*,\s*{_PAIR}){{2}}\s*,?\s*\}}\s*")
_VALUE = re.compile(r"'(descr|fortran_order|shape)'\s*:\s*(?:'([^'\\]*)'|(True|False)|\(([\d\s,L]*)\))")


class _Damaged(Exception):
    """What is wrong with an entry, for a line that names the file."""


@dataclass(frozen=True)
class StoredArray:
    """An array whose header was read and whose values were not.

    Attributes:
        name: in the file, without .npy.
        shape: its sizes.
        dtype: as the file has it; ``V2`` for bfloat16.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _fortran: bool
    _start: int
    _file: ArrayFile

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def read(self) -> NDArray[Any]:
        """The values; bfloat16 as float32.

        Raises:
            InputError: values that are no numbers, cut off or altered, or larger than the file's limit.
        """
        return self._file.values_of(self)

    def pieces(self, rows: int) -> Iterator[NDArray[Any]]:
        """The values along the first axis, ``rows`` at a time, while the file is open; bfloat16 as float32.

        Only these rows are in memory, but where the first axis varies fastest.

        Raises:
            InputError: as for :meth:`read`.
        """
        return self._file.pieces_of(self, rows)

    @property
    def bytes(self) -> int:
        """Of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile(Mapping[str, StoredArray]):
    """The arrays of an open .npz file by name.

    Looking one up reads its header alone. What is read altogether may be UNPACKED bytes, or UNPACKED_TIMES the size of
    the file where that is more.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._size = path.stat().st_size
        self._left = max(UNPACKED, UNPACKED_TIMES * self._size)
        with self._told():
            self._entries = _entries(archive)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> StoredArray:
        entry = self._entries[name]
        with self._told(name), self._archive.open(entry) as stream:
            shape, dtype, fortran = _header(stream)
            array = StoredArray(name, shape, dtype, fortran, stream.tell(), self)
            held = entry.file_size - stream.tell()
            if array.bytes != held:
                raise _Damaged(f"expected {array.bytes} bytes for {shape} {dtype}, given {held}")
        return array

    def values_of(self, array: StoredArray) -> NDArray[Any]:
        """What :meth:`StoredArray.read` gives."""
        with self._told(array.name):
            self._check(array)
            values = np.empty(math.prod(array.shape), array.dtype)
            with self._archive.open(self._entries[array.name]) as stream:
                stream.read(array._start)
                _fill(values.reshape(-1).view(np.uint8), stream)
        ordered = values.reshape(array.shape[::-1]).T if array._fortran else values.reshape(array.shape)
        return _floating(ordered, array.dtype)

    def pieces_of(self, array: StoredArray, rows: int) -> Iterator[NDArray[Any]]:
        """What :meth:`StoredArray.pieces` gives."""
        starts = range(0, array.shape[0], rows)
        if array._fortran:
            whole = self.values_of(array)
            yield from (whole[start : start + rows] for start in starts)
            return
        with self._told(array.name):
            self._check(array)
            stream = self._archive.open(self._entries[array.name])
        with stream:
            with self._told(array.name):
                stream.read(array._start)
            for start in starts:
                with self._told(array.name):
                    shape = (min(rows, array.shape[0] - start), *array.shape[1:])
                    values = np.empty(math.prod(shape), array.dtype)
                    _fill_part(values.view(np.uint8), stream)
                    if start + rows >= array.shape[0]:
                        _end(stream)
                yield _floating(values.reshape(shape), array.dtype)

    def _check(self, array: StoredArray) -> None:
        """Refuses what is no number, and what the file is too small for."""
        entry = self._entries[array.name]
        if array.dtype.kind not in "biufc" and array.dtype != _BFLOAT16:
            raise _Damaged(f"expected numbers, given {array.dtype}")
        if entry.compress_size > self._size or (not entry.compress_type and entry.compress_size != entry.file_size):
            raise _Damaged("its sizes do not fit the file")
        if array.bytes > self._left:
            limit = f"{UNPACKED >> 20} MiB, or {UNPACKED_TIMES} times the file, for all arrays together"
            raise _Damaged(f"expected at most {limit}, given {array.bytes} bytes: save it with numpy.savez")
        self._left -= array.bytes

    @contextlib.contextmanager
    def _told(self, name: str | None = None) -> Iterator[None]:
        """Names file and array in what goes wrong."""
        try:
            yield
        except (
            _Damaged,
            ValueError,
            OSError,
            EOFError,
            RuntimeError,
            MemoryError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            place = "" if name is None else f"array {name}: "
            said = str(error) or type(error).__name__
            raise InputError(f"{self._path}: expected an .npz archive of plain arrays: {place}{said}") from error


@contextlib.contextmanager
def open_arrays(file: Path) -> Iterator[ArrayFile]:
    """Opens an .npz file; no array is read before it is asked for, and nothing in it is unpickled.

    Raises:
        InputError: no file there, or no .npz whose entries are arrays.
    """
    check_is_npz(file)
    try:
        archive = zipfile.ZipFile(file)
    except (ValueError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: expected an .npz archive of plain arrays: {error}") from error
    with archive:
        yield ArrayFile(file, archive)


def given_instead(name: str, stored: Iterable[str]) -> str:
    """The arrays of a file that lacks one, for a message, and which of them may be meant for it."""
    names = sorted(stored)
    near = nearest(name, names)
    return f"{', '.join(names) or 'none'}{'' if near is None else f': is it {near}?'}"


def read_arrays(file: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file by name; bfloat16 as float32.

    Args:
        file: the .npz.
        names: the arrays to read. Default: None, all.

    Raises:
        InputError: no file there, no .npz of plain arrays, one of the names missing, or more than the file's limit.
    """
    with open_arrays(file) as stored:
        wanted = list(stored if names is None else names)
        for name in wanted:
            if name not in stored:
                raise InputError(f"{file}: expected an array {name}, given {given_instead(name, stored)}")
        return {name: stored[name].read() for name in wanted}


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes an uncompressed .npz file whole or not at all; unlike numpy.savez under any names.

    Raises:
        InputError: the file cannot be written.
        ValueError: an array of objects.
    """
    with replacing(file) as staging, zipfile.ZipFile(staging / file.name, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's entries by the names of their arrays."""
    infos = archive.infolist()
    if len(infos) > _MOST_ENTRIES:
        raise _Damaged(f"expected at most {_MOST_ENTRIES} arrays, given {len(infos)}")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name == info.filename:
            raise _Damaged(f"expected arrays (.npy) alone, given {info.filename}")
        if name in found:
            raise _Damaged(f"expected one array {name}, given two")
        if info.flag_bits & _ENCRYPTED:
            raise _Damaged(f"expected plain entries, {info.filename} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Damaged(f"expected entries stored or deflated, {info.filename} is neither")
        found[name] = info
    return found


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, dtype and whether the first axis varies fastest, of a .npy that begins here. Nothing is evaluated."""
    start = stream.read(len(ARRAY) + 2)
    if not start.startswith(ARRAY) or len(start) < len(ARRAY) + 2:
        raise _Damaged("expected a NumPy array, given something else")
    version = start[len(ARRAY)]
    if version not in (1, 2, 3):
        raise _Damaged(f"expected a .npy of version 1 to 3, given {version}")
    length = int.from_bytes(stream.read(2 if version == 1 else 4), "little")
    if length > _LONGEST_HEADER:
        raise _Damaged(f"expected a header of at most {_LONGEST_HEADER} bytes, given {length}")
    text = stream.read(length).decode("utf-8" if version == 3 else "latin-1")
    pairs = _VALUE.findall(text) if len(text) == length and _HEADER.fullmatch(text) else ()
    values = {key: text or flag or sizes for key, text, flag, sizes in pairs}
    if len(values) != 3 or values["fortran_order"] not in ("True", "False"):
        raise _Damaged("expected a header of a plain array, given a damaged one, records or objects")
    return _shape(values["shape"]), _dtype(values["descr"]), values["fortran_order"] == "True"


def _shape(text: str) -> tuple[int, ...]:
    sizes = [part.strip().removesuffix("L") for part in text.split(",")]
    shape = tuple(int(size) for size in sizes if size)
    if len(shape) > _MOST_AXES or any(size >= 1 << 48 for size in shape):
        raise _Damaged(f"expected at most {_MOST_AXES} sizes below 2^48, given ({text[:80]})")
    return shape


def _dtype(text: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError):
        raise _Damaged(f"expected numbers, given the type {text[:80]!r}") from None
    if dtype.hasobject or dtype.subdtype is not None or dtype.names is not None or not dtype.itemsize:
        raise _Damaged(f"expected numbers, given the type {text[:80]!r}")
    return dtype


def _floating(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return bfloat16.values_of(values.view(np.uint16)) if dtype == _BFLOAT16 else values


def _fill(target: NDArray[np.uint8], stream: IO[bytes]) -> None:
    """Reads to the end of an entry, where its checksum is compared."""
    _fill_part(target, stream)
    _end(stream)


def _fill_part(target: NDArray[np.uint8], stream: IO[bytes]) -> None:
    position = 0
    while position < len(target) and (piece := stream.read(min(_PIECE, len(target) - position))):
        target[position : position + len(piece)] = np.frombuffer(piece, np.uint8)
        position += len(piece)
    if position != len(target):
        raise _Damaged(f"expected {len(target)} bytes, given {position}")


def _end(stream: IO[bytes]) -> None:
    """Reads the end of an entry, where its checksum is compared."""
    stream.read(1)
