"""ONNX Runtime."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from attnexport.backends import Arrays
from attnexport.errors import BackendError


class OnnxRuntimeBackend:
    """An ONNX file in an ONNX Runtime session.

    Args:
        path: the .onnx file; external data is found beside it.
        providers: execution providers in order of preference. Default: the CPU.

    Raises:
        BackendError: ONNX Runtime refuses the file.
    """

    def __init__(self, path: str | os.PathLike[str], providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(self.path), options, providers=list(providers))
        except Exception as error:
            raise BackendError(f"{self.path}: ONNX Runtime cannot load it: {first_line(error)}") from error

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(value.name for value in self._session.get_inputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(value.name for value in self._session.get_outputs())

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


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
