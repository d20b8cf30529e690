"""TensorRT through attnrt, the C++ runtime: for machines whose Python has no TensorRT. Needs no torch."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.backends import Arrays, Backend, TensorInfo
from attnexport.backends.building import BuiltEngine, EngineBuilder, keep_timing_cache
from attnexport.backends.engine_layers import EngineLayers, read_layers
from attnexport.errors import BackendError, InputError
from attnexport.plugins.runtime.engine import EngineTensor
from attnexport.plugins.runtime.request import EngineOptions
from attnexport.plugins.runtime.runtime import Runtime, find_runtime


class NativeBuilder(EngineBuilder):
    """Builds engines of the TensorRT of this machine, for its GPU.

    TensorRT is that of $ATTNEXPORT_TENSORRT, else wherever the dynamic loader looks.

    Raises:
        InputError: no attnrt.
        BackendError: no TensorRT that fits it, or an attnrt compiled without NvOnnxParser.h.
    """

    name, product = "native", "TensorRT"

    def __init__(self) -> None:
        runtime = Runtime(find_runtime())
        self._tensorrt = runtime.open_tensorrt()
        self.version, self.strongly_typed = self._tensorrt.version, self._tensorrt.strongly_typed
        if not runtime.info.onnx_parser:
            raise BackendError(
                f"{runtime.path}: expected a runtime that builds engines, given one compiled without NvOnnxParser.h; "
                "attnexport runtime build --parser-include DIR compiles it with that header"
            )

    def build(self, model: Path, options: EngineOptions) -> BuiltEngine:
        """Builds an engine of an ONNX file. Its float32 is float32: TF32 is off.

        Raises:
            BackendError: the builder fails, with its own words.
            InputError: a timing cache that cannot be read.
        """
        if options.precision == "bf16" and not self.strongly_typed:
            raise BackendError(f"precision bf16: expected fp32 or fp16 for TensorRT {self.version}")
        start = time.perf_counter()
        built = self._tensorrt.build(model, options)
        seconds = time.perf_counter() - start
        cache = options.timing_cache
        found = self._layers(built.engine, options)
        return BuiltEngine(
            engine=built.engine,
            layers=found.layers,
            plugin_nodes=tuple(built.plugin_nodes),
            messages=built.warnings,
            seconds=seconds,
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            unknown=found.unknown,
            notes=() if cache is None else keep_timing_cache(cache, built.timing_cache),
        )

    def _layers(self, engine: bytes, options: EngineOptions) -> EngineLayers:
        try:
            loaded = self._tensorrt.load(engine, options.plugins, allow_host_code=options.embed_plugins)
            return read_layers(loaded.layers())
        except BackendError as error:
            return EngineLayers((), f"the engine's layers are not known: {error}")


class NativeBackend(Backend):
    """An engine on the GPU of this machine.

    Args:
        path: the engine.
        plugins: the plugin library of its nodes. Default: None, the engine carries it or needs none.
        allow_host_code: run a plugin library that is inside the engine: only for engines you trust. Default: False.

    Raises:
        InputError: no such file, or no attnrt.
        BackendError: no GPU, no TensorRT that fits attnrt, or an engine that does not load.
    """

    def __init__(self, path: Path, plugins: Path | None = None, *, allow_host_code: bool = False) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        runtime = Runtime(find_runtime())
        opened = runtime.open_tensorrt()
        try:
            self._engine = opened.load(path.read_bytes(), plugins, allow_host_code=allow_host_code)
        except BackendError as error:
            raise BackendError(f"{path}: {error}") from None
        self.description = f"TensorRT {opened.version} through attnrt ({runtime.gpu()})"
        self.inputs = tuple(map(_info, self._engine.inputs))
        self.outputs = tuple(map(_info, self._engine.outputs))

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Runs the engine once. Outputs of bfloat16 come as float32.

        Raises:
            BackendError: naming the tensor that does not fit, or with TensorRT's own words.
        """
        return self._engine.run(inputs)

    def time(self, inputs: Arrays, repeats: int) -> NDArray[np.float64]:
        """Seconds of each of ``repeats`` runs on the GPU, after a warm-up; copies are not counted."""
        return self._engine.time(inputs, repeats).gpu

    def memory(self) -> Mapping[str, int]:
        """Bytes of the engine file, of the scratch memory that a run needs, and of the GPU's memory after loading."""
        return {"engine": self.path.stat().st_size, **self._engine.memory()}


def _info(tensor: EngineTensor) -> TensorInfo:
    return TensorInfo(tensor.name, tensor.dtype.name.lower(), tensor.shape, tensor.profile)
