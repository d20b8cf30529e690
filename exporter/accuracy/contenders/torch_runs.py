"""The model in PyTorch: the float64 reference and, at the contenders' precisions, the yardstick of their budgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from attnexport.accuracy.check.budget import relative_floor
from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.errors import BackendError, first_line
from attnexport.files.arrays import as_array
from attnexport.models.interpreting import Rounding
from attnexport.models.model import Model
from attnexport.models.precisions import PRECISIONS

REFERENCE = "fp64"


@dataclass(frozen=True)
class Quantized:
    """A precision that a quantized file has.

    Attributes:
        sha256: of the file, by which outputs are cached.
        dtype: its floating type.
        run: runs the model with the file's fake quantization: input tensors to output tensors, both in its order.
    """

    sha256: str
    dtype: torch.dtype
    run: Callable[[Sequence[Tensor]], list[Tensor]]


def plain_array(tensor: Tensor) -> NDArray[Any]:
    """An array of a dtype that NumPy has itself: bfloat16 values become float32."""
    return as_array(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


class TorchRuns:
    """Runs a model at any precision, at its own as it was exported, and keeps the outputs in a cache.

    Attributes:
        model: the model.
        cache: where outputs are kept. Default: nowhere.
        seconds: that runs took, by precision.
    """

    def __init__(self, model: Model, cache: OutputCache | None = None) -> None:
        self.model, self.cache = model, cache or OutputCache(None)
        self._quantized: dict[str, Quantized] = {}
        self.seconds: dict[str, float] = {}

    def hold_to_quantized(self, name: str, quantized: Quantized) -> str:
        """Takes in what a precision such as int8 is in one file, and gives the name that runs have for it."""
        unique = f"{name} {quantized.sha256}"
        self._quantized[unique] = quantized
        return unique

    def dtype_of(self, precision: str) -> torch.dtype:
        """The floating type of a precision: of fp32, float32, of a quantized file, that of its other values."""
        return self._quantized[precision].dtype if precision in self._quantized else PRECISIONS[precision]

    def floors(self, precision: str) -> dict[str, float | None]:
        """By output, the share of max|ref64| that a contender of this precision may always err.

        None for outputs that must be equal.
        """
        return {output.name: self._floor(output.dtype, precision) for output in self.model.outputs}

    def _floor(self, dtype: torch.dtype, precision: str) -> float | None:
        if not dtype.is_floating_point:
            return None
        held = dtype if precision == self.model.precision else self.dtype_of(precision)
        return relative_floor(self.model.variants, held)

    def run(self, tensors: Sequence[Tensor], precision: str, digest: str) -> list[NDArray[Any]]:
        """Outputs in order, from the cache where it has them.

        Args:
            tensors: in the order of the program's inputs.
            precision: fp64 for the reference, fp32, fp16 or bf16.
            digest: of the tensors, by which the cache knows them.

        Raises:
            BackendError: PyTorch cannot run the model on these inputs.
        """
        start = time.perf_counter()
        try:
            key = self._quantized[precision].sha256 if precision in self._quantized else precision
            return self.cache.outputs((self.model.source_hash, key, digest), lambda: self.compute(tensors, precision))
        finally:
            self.seconds[precision] = self.seconds.get(precision, 0.0) + time.perf_counter() - start

    def compute(self, tensors: Sequence[Tensor], precision: str) -> list[NDArray[Any]]:
        """Outputs in order, always of a run of their own.

        Raises:
            BackendError: PyTorch cannot run the model on these inputs.
        """
        try:
            return [plain_array(value) for value in self._run(tensors, precision)]
        except Exception as error:
            raise BackendError(f"PyTorch cannot run the model in {precision}: {first_line(error)}") from error

    def rounded(self, tensors: Sequence[Tensor], precision: str, seed: int) -> list[NDArray[Any]]:
        """Outputs of the float64 program with every value rounded at random to a precision."""
        rounding = Rounding(self.dtype_of(precision), seed)
        return [plain_array(value) for value in self.model.run(tensors, rounding=rounding)]

    def _run(self, tensors: Sequence[Tensor], precision: str) -> list[Tensor]:
        if precision in self._quantized:
            return self._quantized[precision].run(tensors)
        exported = precision == self.model.precision and precision != REFERENCE
        return self.model.run(tensors, dtype=None if exported else PRECISIONS[precision])
