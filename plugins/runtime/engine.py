"""Loaded engines of attnrt: their tensors, runs and times."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from ctypes import POINTER, byref, c_double, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.errors import BackendError
from attnexport.files import bfloat16
from attnexport.plugins.runtime.interface import MAX_RANK, CArray, CTensor, CTimes, Dtype, Sizes, check, last_error
from attnexport.plugins.runtime.request import Profile


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine.

    Attributes:
        name: of the tensor.
        dtype: of its elements.
        shape: its sizes, -1 where they vary.
        profile: shapes that an input takes; None for outputs.
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    profile: Profile | None


@dataclass(frozen=True)
class Times:
    """Seconds of each repeat.

    Attributes:
        gpu: by CUDA events around the enqueue alone.
        enqueue: wall clock of TensorRT's own enqueue and of waiting for it.
        call: wall clock of a call of attnrt on memory of the device and of waiting for it; None with a CUDA graph.
        run: wall clock of a run with copies from and to the host; None with a CUDA graph.
    """

    gpu: NDArray[np.float64]
    enqueue: NDArray[np.float64]
    call: NDArray[np.float64] | None = None
    run: NDArray[np.float64] | None = None

    @property
    def overhead(self) -> float | None:
        """Share by which a call of attnrt takes longer than TensorRT's own enqueue, of the medians."""
        return None if self.call is None else float(np.median(self.call) / np.median(self.enqueue) - 1)


class Engine:
    """A loaded engine.

    Attributes:
        inputs, outputs: in the engine's order.
    """

    def __init__(self, library: ctypes.CDLL, handle: c_void_p) -> None:
        self._library, self._handle = library, handle
        self._finalizer = weakref.finalize(self, library.attnrt_free_engine, handle)
        count = library.attnrt_num_tensors(handle)
        tensors = [library.attnrt_tensor_at(handle, index).contents for index in range(count)]
        self.inputs = tuple(_read(tensor) for tensor in tensors if tensor.is_input)
        self.outputs = tuple(_read(tensor) for tensor in tensors if not tensor.is_input)

    def run(self, inputs: Mapping[str, NDArray[Any]], *, cuda_graph: bool = False) -> dict[str, NDArray[Any]]:
        """Runs the engine once.

        Args:
            inputs: by name; bfloat16 as float32, ml_dtypes' bfloat16 or bits in uint16; int32 as int64 too, which
                TensorRT 8.x makes int32 of.
            cuda_graph: launch a graph that is captured for this run. Default: False.

        Returns:
            Outputs by name; bfloat16 as float32.

        Raises:
            BackendError: naming the tensor that does not fit, or with TensorRT's own words.
        """
        given = _Arrays(inputs, self.inputs)
        wanted = (CArray * len(self.outputs))()
        check(self._library, self._library.attnrt_infer_outputs(self._handle, *given.c, wanted, len(wanted)))
        outputs = [_empty(c) for c in wanted]
        for c, output in zip(wanted, outputs, strict=True):
            c.data = output.ctypes.data
        status = self._library.attnrt_run(self._handle, *given.c, wanted, len(wanted), int(cuda_graph))
        check(self._library, status)
        return {tensor.name: _values(array, tensor) for array, tensor in zip(outputs, self.outputs, strict=True)}

    def time(self, inputs: Mapping[str, NDArray[Any]], repeats: int, *, cuda_graph: bool = False) -> Times:
        """Times ``repeats`` runs after a warm-up of 200 ms; with ``cuda_graph`` launches of a captured graph.

        Raises:
            BackendError: as :meth:`run`.
        """
        given = _Arrays(inputs, self.inputs)
        measured = [np.zeros(repeats) for _ in range(2 if cuda_graph else 4)]
        times = CTimes(*(series.ctypes.data_as(POINTER(c_double)) for series in measured))
        status = self._library.attnrt_time(self._handle, *given.c, repeats, int(cuda_graph), byref(times))
        check(self._library, status)
        return Times(*(series / 1000 for series in measured))

    def layers(self) -> str:
        """TensorRT's JSON about the layers.

        Raises:
            BackendError: TensorRT says nothing.
        """
        said: bytes | None = self._library.attnrt_layers(self._handle)
        if said is None:
            raise BackendError(last_error(self._library))
        return said.decode(errors="replace")

    def memory(self) -> dict[str, int]:
        """Bytes on the device: ``scratch`` for activations, and ``loaded`` all in all when it was loaded."""
        memory = self._library.attnrt_device_memory(self._handle)
        return {"scratch": memory.scratch, "loaded": memory.loaded}


class _Arrays:
    """Inputs as the C interface takes them; it must live as long as they are used.

    Names and shapes are for the library to check.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], inputs: tuple[EngineTensor, ...]) -> None:
        dtypes = {tensor.name: tensor.dtype for tensor in inputs}
        self._kept = {name: typed(name, array, dtypes.get(name)) for name, array in arrays.items()}
        listed = [
            CArray(name.encode(), array.ctypes.data, dtype, array.ndim, Sizes(*array.shape))
            for name, (array, dtype) in self._kept.items()
        ]
        self.c = (CArray * len(listed))(*listed), len(listed)


def typed(name: str, array: NDArray[Any], wanted: Dtype | None) -> tuple[NDArray[Any], Dtype]:
    """A contiguous array of this machine's byte order, and its type.

    Args:
        name: of the input.
        array: given for it.
        wanted: the input's type; None where there is no such input.

    Raises:
        BackendError: a type that no engine takes, or a number that does not fit.
    """
    if array.ndim > MAX_RANK:
        raise BackendError(f"{name}: expected at most {MAX_RANK} dims, given {array.ndim}")
    if wanted is Dtype.BFLOAT16 and array.dtype.name in ("float32", "bfloat16", "uint16"):
        return bfloat16.bits_of(array), Dtype.BFLOAT16
    if wanted is Dtype.INT32 and array.dtype.name == "int64":
        narrow = array.astype(np.int32, order="C")
        if not np.array_equal(narrow, array):
            raise BackendError(f"{name}: the engine takes int32, given int64 with values that do not fit")
        return narrow, Dtype.INT32
    kind = array.dtype.name.upper()
    if kind not in Dtype.__members__:
        raise BackendError(f"{name}: expected a type that engines take, given {array.dtype}")
    return np.asarray(array, array.dtype.newbyteorder("="), order="C"), Dtype[kind]


def _empty(c: CArray) -> NDArray[Any]:
    dtype = Dtype(c.dtype)
    return np.empty(tuple(c.dims[: c.rank]), np.uint16 if dtype is Dtype.BFLOAT16 else dtype.name.lower())


def _values(array: NDArray[Any], tensor: EngineTensor) -> NDArray[Any]:
    return bfloat16.values_of(array) if tensor.dtype is Dtype.BFLOAT16 else array


def _read(c: CTensor) -> EngineTensor:
    profile = Profile(*(tuple(sizes[: c.rank]) for sizes in (c.minimum, c.optimum, c.maximum)))
    name, dims = c.name.decode(errors="replace"), tuple(c.dims[: c.rank])
    return EngineTensor(name, Dtype(c.dtype), dims, profile if c.is_input else None)
