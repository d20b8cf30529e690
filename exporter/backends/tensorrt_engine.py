"""Runs engines through TensorRT's Python bindings; device memory is torch's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attnexport.backends import Arrays, Backend, TensorInfo
from attnexport.backends.tensorrt_bindings import load_bindings, version_of
from attnexport.errors import BackendError
from attnexport.messages import named
from attnexport.plugins.runtime.request import Profile

_DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}


class BindingsBackend(Backend):
    """An engine on the GPU of this machine.

    Args:
        path: the engine.
        module: ``tensorrt`` or ``tensorrt_rtx``.
        product: its name in messages.
        plugins: the plugin library of its nodes. Default: None, the engine carries it or needs none.
        allow_host_code: run a plugin library that is inside the engine: only for engines you trust. Default: False.

    Raises:
        BackendError: no GPU, a library that does not load, or an engine that does not open.
    """

    def __init__(
        self, path: Path, module: str, product: str, plugins: Path | None = None, *, allow_host_code: bool = False
    ) -> None:
        self.path = path
        if not torch.cuda.is_available():
            raise BackendError(f"{path}: an engine of {product} runs on a GPU alone, and torch finds none here")
        trt = load_bindings(module, product)
        self.description = f"{product} {version_of(trt)} ({torch.cuda.get_device_name()})"
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        if plugins is not None and self._runtime.get_plugin_registry().load_library(str(plugins.absolute())) is None:
            raise BackendError(f"{plugins}: {product} cannot load this plugin library")
        self._runtime.engine_host_code_allowed = allow_host_code
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise BackendError(f"{path}: {product} {version_of(trt)} cannot open this engine")
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        given = {name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        self.inputs = tuple(self._info(name, is_input=True) for name in names if name in given)
        self.outputs = tuple(self._info(name, is_input=False) for name in names if name not in given)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Runs the engine once. Outputs of bfloat16 come as float32.

        Raises:
            BackendError: shapes outside the engine's, or TensorRT fails.
        """
        tensors = self._bind(inputs)
        self._enqueue()
        self._stream.synchronize()
        outputs = {name: tensors[name].cpu() for name in self.output_names}
        return {
            name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
            for name, tensor in outputs.items()
        }

    def time(self, inputs: Arrays, repeats: int) -> NDArray[np.float64]:
        """Seconds of each of ``repeats`` runs on the GPU, after one that is not counted; copies are not counted."""
        tensors = self._bind(inputs)
        self._enqueue()
        self._stream.synchronize()
        seconds = np.empty(repeats)
        for index in range(repeats):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(self._stream)
            self._enqueue()
            end.record(self._stream)
            end.synchronize()
            seconds[index] = start.elapsed_time(end) / 1000
        del tensors
        return seconds

    def memory(self) -> Mapping[str, int]:
        """Bytes of the engine file, and of the scratch memory that a run needs."""
        # device_memory_size is gone in TensorRT 11, its successor came with 10.1.
        scratch = getattr(self._engine, "device_memory_size_v2", None)
        return {
            "engine": self.path.stat().st_size,
            "scratch": int(self._engine.device_memory_size if scratch is None else scratch),
        }

    def _info(self, name: str, *, is_input: bool) -> TensorInfo:
        kind = self._engine.get_tensor_dtype(name).name
        shape = tuple(self._engine.get_tensor_shape(name))
        profile = None
        if is_input:
            profile = Profile(*(tuple(sizes) for sizes in self._engine.get_tensor_profile_shape(name, 0)))
        return TensorInfo(name, _DTYPES.get(kind, kind.lower()), shape, profile)

    def _bind(self, inputs: Arrays) -> dict[str, torch.Tensor]:
        """Puts the inputs and room for the outputs into the GPU's memory and tells the context where they are."""
        tensors: dict[str, torch.Tensor] = {}
        for info in self.inputs:
            array = np.ascontiguousarray(inputs[info.name])
            tensors[info.name] = torch.from_numpy(array).to("cuda", getattr(torch, info.dtype))
            if not self._context.set_input_shape(info.name, array.shape):
                raise BackendError(
                    f"{self.path}: {named('input', info.name)}: the engine does not take shape {array.shape}"
                )
        for info in self.outputs:
            shape = tuple(self._context.get_tensor_shape(info.name))
            if any(size < 0 for size in shape):
                raise BackendError(f"{self.path}: {named('output', info.name)}: its shape {shape} depends on the data")
            tensors[info.name] = torch.empty(shape, dtype=getattr(torch, info.dtype), device="cuda")
        for name, tensor in tensors.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        torch.cuda.synchronize()
        return tensors

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise BackendError(f"{self.path}: TensorRT cannot run it on these inputs")
