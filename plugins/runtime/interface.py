"""Mirrors attnrt's C interface, include/attnexport/attnrt.h, in ctypes."""

from __future__ import annotations

import ctypes
import enum
import os
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path

from attnexport.errors import BackendError

ABI = 1
"""ATTNRT_ABI of the header that this module mirrors."""
MAX_RANK = 8

Sizes = c_int64 * MAX_RANK
LogFunction = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class Dtype(enum.IntEnum):
    """attnrt_dtype."""

    FLOAT32 = 0
    FLOAT16 = 1
    BFLOAT16 = 2
    INT32 = 3
    INT64 = 4
    INT8 = 5
    UINT8 = 6
    BOOL = 7


class Severity(enum.IntEnum):
    """attnrt_severity."""

    ERROR = 0
    WARNING = 1
    INFO = 2
    VERBOSE = 3


class CProfile(ctypes.Structure):
    """attnrt_profile."""

    _fields_ = [("input", c_char_p), ("rank", c_int32), ("minimum", Sizes), ("optimum", Sizes), ("maximum", Sizes)]


class CBuildRequest(ctypes.Structure):
    """attnrt_build_request."""

    _fields_ = [
        ("model", c_char_p),
        ("profiles", POINTER(CProfile)),
        ("num_profiles", c_int32),
        ("allow_float16", c_int32),
        ("plugins", c_char_p),
        ("embed_plugins", c_int32),
        ("cublas_cudnn", c_int32),
        ("timing_cache", c_char_p),
        ("timing_cache_bytes", c_size_t),
        ("workspace_bytes", c_uint64),
    ]


class CTensor(ctypes.Structure):
    """attnrt_tensor."""

    _fields_ = [
        ("name", c_char_p),
        ("is_input", c_int32),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("dims", Sizes),
        ("minimum", Sizes),
        ("optimum", Sizes),
        ("maximum", Sizes),
    ]


class CArray(ctypes.Structure):
    """attnrt_array."""

    _fields_ = [("name", c_char_p), ("data", c_void_p), ("dtype", c_int32), ("rank", c_int32), ("dims", Sizes)]


class CMemory(ctypes.Structure):
    """attnrt_memory."""

    _fields_ = [("scratch", c_uint64), ("loaded", c_uint64)]


class CTimes(ctypes.Structure):
    """attnrt_times."""

    _fields_ = [(name, POINTER(c_double)) for name in ("gpu", "enqueue", "call", "run")]


_ARRAYS = (POINTER(CArray), c_int32)

# Result and arguments of each function.
FUNCTIONS = {
    "attnrt_abi": (c_int32, ()),
    "attnrt_build_info": (c_char_p, ()),
    "attnrt_last_error": (c_char_p, ()),
    "attnrt_set_log": (None, (LogFunction, c_void_p)),
    "attnrt_gpu": (c_char_p, ()),
    "attnrt_open": (c_int32, (c_char_p, POINTER(c_void_p))),
    "attnrt_close": (None, (c_void_p,)),
    "attnrt_version": (c_char_p, (c_void_p,)),
    "attnrt_strongly_typed": (c_int32, (c_void_p,)),
    "attnrt_build": (c_int32, (c_void_p, POINTER(CBuildRequest), POINTER(c_void_p))),
    "attnrt_free_built": (None, (c_void_p,)),
    "attnrt_engine_bytes": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "attnrt_timing_cache": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "attnrt_num_plugin_nodes": (c_int32, (c_void_p,)),
    "attnrt_plugin_node": (c_char_p, (c_void_p, c_int32)),
    "attnrt_plugin_type": (c_char_p, (c_void_p, c_int32)),
    "attnrt_load": (c_int32, (c_void_p, c_char_p, c_size_t, c_char_p, c_int32, POINTER(c_void_p))),
    "attnrt_free_engine": (None, (c_void_p,)),
    "attnrt_num_tensors": (c_int32, (c_void_p,)),
    "attnrt_tensor_at": (POINTER(CTensor), (c_void_p, c_int32)),
    "attnrt_layers": (c_char_p, (c_void_p,)),
    "attnrt_device_memory": (CMemory, (c_void_p,)),
    "attnrt_infer_outputs": (c_int32, (c_void_p, *_ARRAYS, *_ARRAYS)),
    "attnrt_run": (c_int32, (c_void_p, *_ARRAYS, *_ARRAYS, c_int32)),
    "attnrt_enqueue": (c_int32, (c_void_p, *_ARRAYS, *_ARRAYS, c_void_p)),
    "attnrt_time": (c_int32, (c_void_p, *_ARRAYS, c_int32, c_int32, POINTER(CTimes))),
}


def declare(library: ctypes.CDLL) -> None:
    """Tells ctypes the functions of an open library.

    Raises:
        AttributeError: it lacks one.
    """
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def path_or_none(path: Path | None) -> bytes | None:
    """A path as C takes it."""
    return None if path is None else os.fsencode(path)


def last_error(library: ctypes.CDLL) -> str:
    """Why the last call of this thread failed."""
    said: bytes = library.attnrt_last_error()
    return said.decode(errors="replace")


def check(library: ctypes.CDLL, status: int) -> None:
    """Raises BackendError with the library's reason where a call failed."""
    if status:
        raise BackendError(last_error(library))
