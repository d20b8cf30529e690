"""Opens plugin libraries, which runs their code: open none that you did not build."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_int32
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.errors import InputError
from attnexport.plugins.calling.build_info import BuildInfo, parse_build_info
from attnexport.plugins.calling.interface import ABI, FUNCTIONS, AttributeKind, CInput, COp, Dtype
from attnexport.plugins.calling.operators import Attribute, Input, Op


@dataclass(frozen=True)
class Library:
    """An open plugin library.

    Attributes:
        path: the file.
        ops: its operators by name.
        info: how it was built.
    """

    path: Path
    ops: Mapping[str, Op]
    info: BuildInfo
    _handle: ctypes.CDLL = field(repr=False, compare=False)


def load_library(path: str | os.PathLike[str]) -> Library:
    """Opens a plugin library, which runs its code: open none that you did not build.

    Raises:
        InputError: no such file, no plugin library, or one of another ABI.
    """
    path = Path(path)
    handle = _opened(path)
    ops, info = handle.attnexport_ops, handle.attnexport_build_info
    ops.restype, ops.argtypes = POINTER(POINTER(COp)), [POINTER(c_int32)]
    info.restype, info.argtypes = c_char_p, []
    count = c_int32()
    table = ops(ctypes.byref(count))
    read = [_read(table[index].contents) for index in range(count.value)]
    return Library(path, {op.name: op for op in read}, parse_build_info(_text(info())), handle)


def _opened(path: Path) -> ctypes.CDLL:
    """A library that has all of the interface, of this ABI."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        handle = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        said = str(error).removeprefix(f"{path.resolve()}: ")
        raise InputError(f"{path}: expected a plugin library, but it cannot be opened: {said}") from error
    if not all(hasattr(handle, name) for name in FUNCTIONS):
        raise InputError(f"{path}: expected a library of attnexport plugins build, given another one")
    abi = handle.attnexport_abi
    abi.restype, abi.argtypes = c_int32, []
    if abi() != ABI:
        raise InputError(f"{path}: expected ABI {ABI}, given {abi()}; build it again with attnexport plugins build")
    return handle


def _read(op: COp) -> Op:
    return Op(
        name=_text(op.name),
        inputs=tuple(_read_input(op.inputs[index]) for index in range(op.num_inputs)),
        attributes=tuple(
            Attribute(_text(op.attributes[index].name), AttributeKind(op.attributes[index].kind))
            for index in range(op.num_attributes)
        ),
        dtypes=tuple(dtype for dtype in Dtype if op.dtypes & 1 << dtype),
        _c=op,
    )


def _read_input(given: CInput) -> Input:
    count = given.count_attribute
    return Input(_text(given.name), None if count is None else _text(count), bool(given.is_length))


def _text(given: bytes) -> str:
    """A text of the library, bytes that are no UTF-8 spelled out."""
    return given.decode("utf-8", "backslashreplace")
