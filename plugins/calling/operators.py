"""The operators of a plugin library: what they take, and calls of them on memory of the device."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_size_t
from dataclasses import dataclass, field
from typing import Any

from attnexport.errors import AttnexportError, InputError
from attnexport.plugins.calling.interface import AttributeKind, CCall, CTensor, CValue, Dtype, Status

_MEANINGS = {
    Status.UNSUPPORTED: "no kernel in this library covers these sizes, types or options",
    Status.INVALID: "shapes or attributes do not fit each other",
    Status.WORKSPACE_TOO_SMALL: "the workspace is too small",
    Status.CUDA_ERROR: "CUDA reported an error",
    Status.UNALIGNED: "a tensor, the output or the workspace does not begin at a multiple of 16",
}


class OperatorError(AttnexportError):
    """A call that a library did not carry out.

    Attributes:
        status: what the library answered.
    """

    def __init__(self, message: str, status: Status) -> None:
        super().__init__(message)
        self.status = status


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

    def _marshal(self, call: Call) -> CCall:
        tensors = (CTensor * len(call.inputs))()
        for tensor, array in zip(tensors, call.inputs, strict=True):
            if len(array.shape) > 4:
                raise InputError(f"{self.name}: expected tensors of at most four dims, given {array}")
            tensor.data, tensor.dtype, tensor.rank = array.pointer or None, array.dtype, len(array.shape)
            tensor.dims[: len(array.shape)] = array.shape
        values = (CValue * len(self.attributes))()
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
        return CCall(tensors, len(call.inputs), values, call.output or None)

    def _check(self, code: int, call: Call) -> None:
        status = Status(code) if code in list(Status) else Status.CUDA_ERROR
        if status is not Status.OK:
            given = ", ".join(
                [*(str(array) for array in call.inputs), *(f"{k}={v}" for k, v in call.attributes.items())]
            )
            raise OperatorError(f"{self.name}: {_MEANINGS[status]}: {given}", status)
