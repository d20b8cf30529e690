"""attnrt from Python: builds, loads, runs and times TensorRT engines without TensorRT's own bindings.

Needs NumPy and no torch. Opening a runtime, a plugin library or an engine that holds one runs its code.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import weakref
from collections.abc import Iterator
from ctypes import byref, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnexport.errors import InputError
from attnexport.plugins.building.locations import cache_folder, is_ones_own
from attnexport.plugins.runtime.engine import Engine
from attnexport.plugins.runtime.interface import ABI, LogFunction, Severity, check, declare, path_or_none
from attnexport.plugins.runtime.request import Built, EngineOptions, as_c

LIBRARY = "libattnrt.so"
PROGRAM = "attnrt"
RUNTIME_VARIABLE = "ATTNEXPORT_RUNTIME"
"""Environment variable that names the folder of libattnrt.so."""
TENSORRT_VARIABLE = "ATTNEXPORT_TENSORRT"
"""Environment variable that names the folder of libnvinfer.so."""


@dataclass(frozen=True)
class RuntimeInfo:
    """What a runtime was compiled with, as it says itself.

    Attributes:
        version: of attnexport.
        tensorrt: version of its headers, as 10.3.0.
        cuda: version of the CUDA runtime, as 12.6.
        onnx_parser: whether it can build engines.
    """

    version: str
    tensorrt: str
    cuda: str
    onnx_parser: bool


class TensorRt:
    """An open TensorRT."""

    def __init__(self, library: ctypes.CDLL, handle: c_void_p) -> None:
        self._library, self._handle = library, handle
        self._finalizer = weakref.finalize(self, library.attnrt_close, handle)

    @property
    def version(self) -> str:
        """As 10.3.0."""
        return str(self._library.attnrt_version(self._handle).decode())

    @property
    def strongly_typed(self) -> bool:
        """Whether precision is that of the ONNX file, and no option."""
        return bool(self._library.attnrt_strongly_typed(self._handle))

    def build(self, model: Path, options: EngineOptions) -> Built:
        """Builds an engine of an ONNX file for the GPU of this machine. float32 means float32: TF32 is off.

        Raises:
            BackendError: naming the file, input or library, with TensorRT's own words.
        """
        library, handle = self._library, c_void_p()
        request = as_c(model, options, strongly_typed=self.strongly_typed)
        with _warnings(library) as warnings:
            check(library, library.attnrt_build(self._handle, byref(request), byref(handle)))
        try:
            nodes = range(library.attnrt_num_plugin_nodes(handle))
            names = [library.attnrt_plugin_node(handle, index).decode(errors="replace") for index in nodes]
            types = [library.attnrt_plugin_type(handle, index).decode(errors="replace") for index in nodes]
            return Built(
                engine=_bytes(library.attnrt_engine_bytes, handle),
                timing_cache=_bytes(library.attnrt_timing_cache, handle),
                plugin_nodes=dict(zip(names, types, strict=True)),
                warnings=tuple(dict.fromkeys(warnings)),
            )
        finally:
            library.attnrt_free_built(handle)

    def load(self, engine: bytes, plugins: Path | None = None, *, allow_host_code: bool = False) -> Engine:
        """Loads a serialised engine.

        Args:
            engine: its bytes.
            plugins: the plugin library that it needs. Default: None.
            allow_host_code: run libraries that are inside the engine: only for engines you trust. Default: False.

        Raises:
            BackendError: TensorRT cannot load it, with its own words.
        """
        library, handle = self._library, c_void_p()
        given = engine, len(engine), path_or_none(plugins), int(allow_host_code)
        check(library, library.attnrt_load(self._handle, *given, byref(handle)))
        return Engine(library, handle)


class Runtime:
    """An open libattnrt.so.

    Attributes:
        path: the file.
        info: how it was compiled.

    Raises:
        InputError: no such library, or one of another ABI.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"{path}: no such file; attnexport runtime build makes it")
        try:
            self._library = ctypes.CDLL(str(path.resolve()))
            abi = self._library.attnrt_abi()
        except (OSError, AttributeError) as error:
            raise InputError(
                f"{path}: expected the library of attnexport runtime build, given another: {error}"
            ) from None
        if abi != ABI:
            raise InputError(f"{path}: expected ABI {ABI}, given {abi}; build it again with attnexport runtime build")
        declare(self._library)
        self.path = path
        self.info = RuntimeInfo(**json.loads(self._library.attnrt_build_info()))

    def gpu(self) -> str | None:
        """Name and compute capability of the GPU, as "NVIDIA H200, SM 90"; None where there is none."""
        said: bytes | None = self._library.attnrt_gpu()
        return None if said is None else said.decode(errors="replace")

    def open_tensorrt(self, folder: Path | None = None) -> TensorRt:
        """Opens TensorRT.

        Args:
            folder: of libnvinfer.so. Default: $ATTNEXPORT_TENSORRT, else wherever the dynamic loader looks.

        Raises:
            BackendError: none there, or another version than this runtime was compiled for.
        """
        named = os.environ.get(TENSORRT_VARIABLE)
        if folder is None and named is not None:
            folder = Path(named)
        handle = c_void_p()
        check(self._library, self._library.attnrt_open(path_or_none(folder), byref(handle)))
        return TensorRt(self._library, handle)


def find_runtime() -> Path:
    """The library in the folder $ATTNEXPORT_RUNTIME, else the one that ``attnexport runtime build`` writes.

    Raises:
        InputError: not there, or in a place where others may write.
    """
    named = os.environ.get(RUNTIME_VARIABLE)
    folder = Path(named) if named is not None else cache_folder("runtime")
    path = folder / LIBRARY
    if not path.is_file():
        where = (
            f"${RUNTIME_VARIABLE}, which is {folder}" if named is not None else f"${RUNTIME_VARIABLE} or in {folder}"
        )
        raise InputError(f"attnrt: {LIBRARY} not found in {where}; attnexport runtime build compiles it")
    if named is None and not is_ones_own(path):
        raise InputError(
            f"{path}: expected a file and folder that only you can write; ${RUNTIME_VARIABLE} names another"
        )
    return path


@contextlib.contextmanager
def _warnings(library: ctypes.CDLL) -> Iterator[list[str]]:
    """Collects TensorRT's warnings while the block runs."""
    found: list[str] = []

    def receive(_: object, severity: int, message: bytes) -> None:
        if severity == Severity.WARNING:
            found.append(message.decode(errors="replace"))

    callback = LogFunction(receive)
    library.attnrt_set_log(callback, None)
    try:
        yield found
    finally:
        library.attnrt_set_log(LogFunction(), None)


def _bytes(function: Any, handle: c_void_p) -> bytes:
    size = c_size_t()
    address = function(handle, byref(size))
    return ctypes.string_at(address, size.value) if address else b""
