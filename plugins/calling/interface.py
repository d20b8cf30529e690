"""Mirrors the C interface of a plugin library, include/attnexport/op.h, in ctypes."""

from __future__ import annotations

import ctypes
import enum
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p

ABI = 1
"""ATTNEXPORT_ABI of the header that this module mirrors."""

FUNCTIONS = ("attnexport_abi", "attnexport_ops", "attnexport_build_info")
"""What a plugin library exports."""


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
    UNALIGNED = 5


class AttributeKind(enum.IntEnum):
    """attnexport_attribute_kind."""

    INTEGER = 0
    NUMBER = 1
    TEXT = 2


class CTensor(ctypes.Structure):
    """attnexport_tensor."""

    _fields_ = [("data", c_void_p), ("dtype", c_int32), ("rank", c_int32), ("dims", c_int64 * 4)]


class CAttribute(ctypes.Structure):
    """attnexport_attribute."""

    _fields_ = [("name", c_char_p), ("kind", c_int32)]


class CValue(ctypes.Union):
    """attnexport_value."""

    _fields_ = [("integer", c_int64), ("number", c_double), ("text", c_char_p)]


class CInput(ctypes.Structure):
    """attnexport_input."""

    _fields_ = [("name", c_char_p), ("count_attribute", c_char_p), ("is_length", c_int32)]


class CCall(ctypes.Structure):
    """attnexport_call."""

    _fields_ = [
        ("inputs", POINTER(CTensor)),
        ("num_inputs", c_int32),
        ("attributes", POINTER(CValue)),
        ("output", c_void_p),
    ]


class COp(ctypes.Structure):
    """attnexport_op."""

    _fields_ = [
        ("name", c_char_p),
        ("inputs", POINTER(CInput)),
        ("num_inputs", c_int32),
        ("attributes", POINTER(CAttribute)),
        ("num_attributes", c_int32),
        ("dtypes", c_uint32),
        ("workspace", ctypes.CFUNCTYPE(c_int, POINTER(CCall), POINTER(c_size_t))),
        ("launch", ctypes.CFUNCTYPE(c_int, POINTER(CCall), c_void_p, c_size_t, c_void_p)),
    ]
