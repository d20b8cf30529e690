"""What runs a model file: files and arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from attnexport.plugins.runtime.request import Profile

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model file.

    Attributes:
        name: of the tensor.
        dtype: of its elements, as float32, float16, bfloat16, int64 or bool.
        shape: its sizes, dynamic ones by name, or -1 where they have none.
        profile: shapes that an engine takes, or None: any that fit ``shape``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    profile: Profile | None = None

    def __str__(self) -> str:
        sizes = ", ".join("?" if size == -1 else str(size) for size in self.shape)
        return f"{self.name} ({sizes}) {self.dtype}"


class Backend(Protocol):
    """A loaded model file.

    Attributes:
        description: what runs it, as ONNX Runtime 1.31.1 (CPU).
        inputs, outputs: in order; inputs of an engine with the shapes that it takes.
    """

    description: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(info.name for info in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(info.name for info in self.outputs)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Runs the model once. Outputs of bfloat16, which numpy lacks, come as float32.

        Raises:
            BackendError: the backend cannot run the model on these inputs.
        """

    def time(self, inputs: Arrays, repeats: int) -> NDArray[np.float64]:
        """Seconds of each of ``repeats`` runs, after one that is not counted."""

    def memory(self) -> Mapping[str, int]:
        """Bytes held now, by what holds them: the process, or weights and activations of an engine."""


def fed(array: NDArray[Any], info: TensorInfo) -> NDArray[Any]:
    """An input in the dtype that the file wants, as half in place of single precision."""
    if info.dtype == array.dtype.name:
        return array
    if info.dtype == "bfloat16":
        import ml_dtypes

        return array.astype(ml_dtypes.bfloat16)
    return array.astype(info.dtype)
