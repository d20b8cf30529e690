"""Binds the C interface of a plugin library, include/attnexport/op.h, through ctypes.

Opening a library runs its code: open none that you did not build.
"""

from __future__ import annotations

import ctypes
import enum
import os
from collections.abc import Mapping, Sequence
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnexport.errors import AttnexportError, InputError
from attnexport.plugins.calling.build_info import BuildInfo, parse_build_info

ABI = 1
"""ATTNEXPORT_ABI of the header that this module mirrors."""


class Dtype(enum.IntEnum):
    """attnexport_dtype."""

    FLOAT32 = 0
    FLOAT16 = 1
    BFLOAT16 = 2
    INT32 = 3


class Status(enum.IntEnum):
    """attnexport_status."""

    OK = 0
    UNSUPPORTED = 1
    INVALID = 2
    WORKSPACE_TOO_SMALL = 3
    CUDA_ERROR = 4


class AttributeKind(enum.IntEnum):
    """attnexport_attribute_kind."""

    INTEGER = 0
    NUMBER = 1
    TEXT = 2


_MEANINGS = {
    Status.UNSUPPORTED: "no kernel in this library covers these sizes, types or options",
    Status.INVALID: "shapes or attributes do not fit each other",
    Status.WORKSPACE_TOO_SMALL: "the workspace is too small",
    Status.CUDA_ERROR: "CUDA reported an error",
}


class OperatorError(AttnexportError):
    """A call that a library did not carry out.

    Attributes:
        status: what the library answered.
    """

    def __init__(self, message: str, status: Status) -> None:
        super().__init__(message)
        self.status = status


class _Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("dtype", c_int32), ("rank", c_int32), ("dims", c_int64 * 4)]


class _Attribute(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("kind", c_int32)]


class _Value(ctypes.Union):
    _fields_ = [("integer", c_int64), ("number", c_double), ("text", c_char_p)]


class _Input(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("count_attribute", c_char_p), ("is_length", c_int32)]


class _Call(ctypes.Structure):
    _fields_ = [
        ("inputs", POINTER(_Tensor)),
        ("num_inputs", c_int32),
        ("attributes", POINTER(_Value)),
        ("output", c_void_p),
    ]


class _Op(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("inputs", POINTER(_Input)),
        ("num_inputs", c_int32),
        ("attributes", POINTER(_Attribute)),
        ("num_attributes", c_int32),
        ("dtypes", c_uint32),
        ("workspace", ctypes.CFUNCTYPE(c_int, POINTER(_Call), POINTER(c_size_t))),
        ("launch", ctypes.CFUNCTYPE(c_int, POINTER(_Call), c_void_p, c_size_t, c_void_p)),
    ]


@dataclass(frozen=True)
class Array:
    """A contiguous tensor in the memory of the device.

    Attributes:
        pointer: address of the first element; 0 where only the workspace is asked for.
        dtype: of its elements.
        shape: at most four sizes.
    """

    pointer: int
    dtype: Dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype.name.lower()}"


@dataclass(frozen=True)
class Call:
    """Arguments of one call.

    Attributes:
        inputs: flat, in the operator's order; absent optional inputs are left off the end.
        attributes: every attribute of the operator by name.
        output: address of the result; 0 where only the workspace is asked for.
    """

    inputs: Sequence[Array]
    attributes: Mapping[str, int | float | str]
    output: int = 0


@dataclass(frozen=True)
class Input:
    """An input of an operator.

    Attributes:
        name: as in the operator's PyTorch signature.
        count_attribute: attribute that says how many tensors it takes; None: one.
        is_length: an optional int32 (batch,) input.
    """

    name: str
    count_attribute: str | None
    is_length: bool


@dataclass(frozen=True)
class Attribute:
    """An attribute of an operator."""

    name: str
    kind: AttributeKind


@dataclass(frozen=True)
class Op:
    """An operator of a library.

    Attributes:
        name: type of its ONNX node.
        inputs: in order.
        attributes: in order.
        dtypes: floating types that were compiled in.
    """

    name: str
    inputs: tuple[Input, ...]
    attributes: tuple[Attribute, ...]
    dtypes: tuple[Dtype, ...]
    _c: Any = field(repr=False, compare=False)

    def workspace(self, call: Call) -> int:
        """Bytes of workspace, 256-byte aligned, that a launch of these shapes needs.

        Raises:
            InputError: an attribute is missing.
            OperatorError: the library does not take such a call.
        """
        size = c_size_t()
        self._check(self._c.workspace(ctypes.byref(self._marshal(call)), ctypes.byref(size)), call)
        return size.value

    def launch(self, call: Call, workspace: int, workspace_bytes: int, stream: int = 0) -> None:
        """Launches the call; returns before the device is done.

        Args:
            call: with the addresses filled in.
            workspace: address of at least as many bytes as :meth:`workspace` asks for.
            workspace_bytes: how many there are.
            stream: a cudaStream_t. Default: the default stream.

        Raises:
            InputError: an attribute is missing.
            OperatorError: the library did not launch it.
        """
        self._check(self._c.launch(ctypes.byref(self._marshal(call)), workspace, workspace_bytes, stream), call)

    def _marshal(self, call: Call) -> _Call:
        tensors = (_Tensor * len(call.inputs))()
        for tensor, array in zip(tensors, call.inputs, strict=True):
            if len(array.shape) > 4:
                raise InputError(f"{self.name}: expected tensors of at most four dims, given {array}")
            tensor.data, tensor.dtype, tensor.rank = array.pointer or None, array.dtype, len(array.shape)
            tensor.dims[: len(array.shape)] = array.shape
        values = (_Value * len(self.attributes))()
        for value, attribute in zip(values, self.attributes, strict=True):
            if attribute.name not in call.attributes:
                raise InputError(f"{self.name}: expected the attribute {attribute.name}, given none")
            given = call.attributes[attribute.name]
            if attribute.kind is AttributeKind.TEXT:
                value.text = str(given).encode()
            elif attribute.kind is AttributeKind.NUMBER:
                value.number = float(given)
            else:
                value.integer = int(given)
        return _Call(tensors, len(call.inputs), values, call.output or None)

    def _check(self, code: int, call: Call) -> None:
        status = Status(code) if code in list(Status) else Status.CUDA_ERROR
        if status is not Status.OK:
            given = ", ".join(
                [*(str(array) for array in call.inputs), *(f"{k}={v}" for k, v in call.attributes.items())]
            )
            raise OperatorError(f"{self.name}: {_MEANINGS[status]}: {given}", status)


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
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        handle = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        said = str(error).removeprefix(f"{path.resolve()}: ")
        raise InputError(f"{path}: expected a plugin library, but it cannot be opened: {said}") from error
    try:
        abi, ops, info = handle.attnexport_abi, handle.attnexport_ops, handle.attnexport_build_info
    except AttributeError as error:
        raise InputError(f"{path}: expected a library of attnexport plugins build, given another one") from error
    abi.restype, abi.argtypes = c_int32, []
    if abi() != ABI:
        raise InputError(f"{path}: expected ABI {ABI}, given {abi()}; build it again with attnexport plugins build")
    ops.restype, ops.argtypes = POINTER(POINTER(_Op)), [POINTER(c_int32)]
    info.restype, info.argtypes = c_char_p, []
    count = c_int32()
    table = ops(ctypes.byref(count))
    read = [_read(table[index].contents) for index in range(count.value)]
    return Library(path, {op.name: op for op in read}, parse_build_info(_text(info())), handle)


def _read(op: _Op) -> Op:
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


def _read_input(given: _Input) -> Input:
    count = given.count_attribute
    return Input(_text(given.name), None if count is None else _text(count), bool(given.is_length))


def _text(given: bytes) -> str:
    """A text of the library, bytes that are no UTF-8 spelled out."""
    return given.decode("utf-8", "backslashreplace")
