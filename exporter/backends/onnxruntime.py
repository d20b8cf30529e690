"""ONNX Runtime."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from attnexport.backends import Arrays, Backend, TensorInfo
from attnexport.backends.onnxruntime_sessions import open_session
from attnexport.errors import BackendError, first_line

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{
        f"tensor({name})": name
        for name in (
            "float16",
            "bfloat16",
            "bool",
            *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        )
    },
}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend(Backend):
    """An ONNX file in an ONNX Runtime session.

    Args:
        path: the .onnx file; external data is found beside it.
        providers: execution providers in order of preference. Default: the CPU.

    Raises:
        BackendError: ONNX Runtime refuses the file, or it has inputs or outputs that are no arrays of numbers.
    """

    def __init__(self, path: str | os.PathLike[str], providers: Sequence[str] = (_PROVIDERS["cpu"],)) -> None:
        self.path = Path(path)
        opened = open_session(self.path, providers)
        self._session = opened.session
        self.inputs = tuple(self._info(value) for value in self._session.get_inputs())
        self.outputs = tuple(self._info(value) for value in self._session.get_outputs())
        provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        self.description = f"ONNX Runtime {onnxruntime.__version__} ({', '.join((provider, *opened.reading))})"

    @classmethod
    def on_device(cls, path: str | os.PathLike[str], device: str) -> OnnxRuntimeBackend:
        """A session whose nodes run on ``device``, cpu or cuda.

        Raises:
            BackendError: another device, one this ONNX Runtime has no provider for, or a file it refuses.
        """
        if device not in _PROVIDERS:
            raise BackendError(f"device: expected {' or '.join(_PROVIDERS)}, given {device}")
        provider = _PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise BackendError(
                f"device {device}: this ONNX Runtime has no {provider}; pip install onnxruntime-gpu brings it"
            )
        backend = cls(path, (provider,))
        # A provider whose libraries do not load is left out without an error.
        if provider not in backend._session.get_providers():
            raise BackendError(f"device {device}: {provider} does not load: CUDA's libraries or a GPU are missing")
        return backend

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Runs the model once.

        Raises:
            BackendError: ONNX Runtime fails on these inputs.
        """
        try:
            outputs = self._session.run(None, dict(inputs))
        except Exception as error:
            raise BackendError(f"{self.path}: ONNX Runtime cannot run it: {first_line(error)}") from error
        return dict(zip(self.output_names, outputs, strict=True))

    def time(self, inputs: Arrays, repeats: int) -> NDArray[np.float64]:
        """Seconds of each of ``repeats`` runs, after one that is not counted."""
        self.run(inputs)
        seconds = np.empty(repeats)
        for index in range(repeats):
            start = time.perf_counter()
            self._session.run(None, dict(inputs))
            seconds[index] = time.perf_counter() - start
        return seconds

    def memory(self) -> Mapping[str, int]:
        """The largest resident size of this process so far, Python and its libraries included."""
        import resource

        return {"process, at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    def _info(self, value: Any) -> TensorInfo:
        """A tensor's facts from ONNX Runtime's, where an unknown size is None or an empty name."""
        if value.type not in _DTYPES:
            raise BackendError(f"{self.path}: {value.name}: expected a tensor of numbers, given {value.type}")
        shape = tuple(-1 if size in (None, "") else size for size in value.shape)
        return TensorInfo(value.name, _DTYPES[value.type], shape)
