"""The model in PyTorch: the float64 reference and, at the contenders' precisions, the yardstick of their budgets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.accuracy.check.budget import relative_floor, variants_of
from attnexport.accuracy.contenders.cache import OutputCache, digest_of
from attnexport.errors import BackendError, first_line
from attnexport.files.arrays import as_array, dtype_name
from attnexport.graph.metadata import source_hash
from attnexport.models.interpreting import Evaluator
from attnexport.models.precisions import PRECISIONS, output_dtypes, own_precision
from attnexport.models.rounding import RandomlyRounded
from attnexport.models.running import ProgramRunner

REFERENCE = "fp64"


class Runner(Protocol):
    """Runs the model."""

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Output tensors for the input tensors, both in the program's order."""


@dataclass(frozen=True)
class Quantized:
    """A precision that a quantized file has.

    Attributes:
        sha256: of the file.
        dtype: its floating type.
    """

    sha256: str
    dtype: torch.dtype


def plain_array(tensor: Tensor) -> NDArray[Any]:
    """An array of a dtype that NumPy has itself: bfloat16 values become float32."""
    return as_array(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


class TorchRuns:
    """Runs a program at any precision, at its own as it was exported, and keeps the outputs in a cache.

    Args:
        program: the model.
        cache: where outputs are kept. Default: None, nowhere.

    Attributes:
        program: the model.
        cache: where outputs are kept.
        source_hash: of the program.
        own: its own precision.
        seconds: that runs took, by precision.
    """

    def __init__(self, program: ExportedProgram, cache: OutputCache | None = None) -> None:
        self.program, self.cache = program, cache or OutputCache(None)
        self._runners: dict[str, Runner] = {}
        self._rounded: dict[str, RandomlyRounded] = {}
        self._quantized: dict[str, Quantized] = {}
        self._output_dtypes = output_dtypes(program)
        self.source_hash = source_hash(program)
        self.own = own_precision(program)
        self.seconds: dict[str, float] = {}

    def hold_to_quantized(self, name: str, sha256: str, runner: Runner, dtype: torch.dtype) -> str:
        """Takes in a precision that a quantized file has: PyTorch with the file's fake quantization.

        Args:
            name: as int8.
            sha256: of the file, by which outputs are cached.
            runner: runs the model with that quantization.
            dtype: the file's floating type.

        Returns:
            The precision's name: ``name``, with a number where another file has it.
        """
        taken = [other for other in self._quantized if other.partition(" ")[0] == name]
        unique = f"{name} ({len(taken) + 1})" if taken else name
        self._quantized[unique] = Quantized(sha256, dtype)
        self._runners[unique] = runner
        return unique

    def dtype_of(self, precision: str) -> torch.dtype:
        """The floating type of a precision: of fp32, float32, of a quantized file, that of its other values."""
        return self._quantized[precision].dtype if precision in self._quantized else PRECISIONS[precision]

    def floors(self, precision: str) -> dict[str, float | None]:
        """By output, the share of max|ref64| that a contender of this precision may always err.

        None for outputs that must be equal.
        """
        variants = variants_of(self.program)
        return {
            name: relative_floor(variants, dtype if precision == self.own else self.dtype_of(precision))
            if dtype.is_floating_point
            else None
            for name, dtype in self._output_dtypes.items()
        }

    def output_dtype(self, name: str) -> str:
        """Type of an output, as float32."""
        return dtype_name(self._output_dtypes[name])

    def digest(self, tensors: Sequence[Tensor]) -> str:
        """What the cache knows a batch by."""
        return digest_of(tensors)

    def run(self, tensors: Sequence[Tensor], precision: str, digest: str) -> list[NDArray[Any]]:
        """Outputs in order, from the cache where it has them.

        Args:
            tensors: in the order of the program's inputs.
            precision: fp64 for the reference, fp32, fp16 or bf16.
            digest: of the tensors.

        Raises:
            BackendError: PyTorch cannot run the model on these inputs.
        """
        start = time.perf_counter()
        try:
            key = self._quantized[precision].sha256 if precision in self._quantized else precision
            return self.cache.outputs((self.source_hash, key, digest), lambda: self.compute(tensors, precision))
        finally:
            self.seconds[precision] = self.seconds.get(precision, 0.0) + time.perf_counter() - start

    def compute(self, tensors: Sequence[Tensor], precision: str) -> list[NDArray[Any]]:
        """Outputs in order, always of a run of their own.

        Raises:
            BackendError: PyTorch cannot run the model on these inputs.
        """
        try:
            return [plain_array(value) for value in self._runner(precision).run(tensors)]
        except Exception as error:
            raise BackendError(f"PyTorch cannot run the model in {precision}: {first_line(error)}") from error

    def rounded(self, tensors: Sequence[Tensor], precision: str, seed: int) -> list[NDArray[Any]]:
        """Outputs of the float64 program with every value rounded at random to a precision."""
        if precision not in self._rounded:
            self._rounded[precision] = RandomlyRounded(self.program, self.dtype_of(precision))
        return [plain_array(value) for value in self._rounded[precision].run(tensors, seed)]

    def _runner(self, precision: str) -> Runner:
        if precision not in self._runners:
            exported = precision == self.own and precision != REFERENCE
            self._runners[precision] = (
                ProgramRunner(self.program) if exported else Evaluator(self.program, PRECISIONS[precision])
            )
        return self._runners[precision]
