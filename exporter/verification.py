"""Runs a converted file at other shapes than it was exported with: the proof that dynamic dims stayed dynamic."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.errors import BackendError, ConversionError
from attnexport.inputs import generator, like_example
from attnexport.program import DynamicDim, dynamic_dims, example_inputs, run_program, shapes_at

GROSS_ERROR = 0.1
"""Relative L2 error beyond which a file computes something else; accuracy proper is ``check``'s business."""


def other_sizes(dims: Sequence[DynamicDim]) -> list[dict[str, int]]:
    """Two further sizes for every symbol: small (its lower bound, at least 1) and about twice the example's."""

    def small(dim: DynamicDim, position: int) -> int:
        size = max(1, dim.lower)
        return size if size != dim.example else min(size + 1 + position, dim.upper or size + 1 + position)

    def large(dim: DynamicDim, position: int) -> int:
        size = 2 * dim.example + 1 + position
        return size if dim.upper is None else min(size, dim.upper)

    return [{dim.symbol: choose(dim, position) for position, dim in enumerate(dims)} for choose in (small, large)]


def as_array(tensor: Tensor) -> NDArray[Any]:
    """A NumPy array of the tensor's values; bfloat16 becomes ml_dtypes' bfloat16."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        bits: NDArray[Any] = tensor.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    array: NDArray[Any] = tensor.numpy()
    return array


def relative_l2(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """‖given - expected‖₂ / ‖expected‖₂, or the plain norm of the difference where expected is zero."""
    wide = expected.astype(np.float64)
    difference = float(np.linalg.norm((given.astype(np.float64) - wide).ravel()))
    norm = float(np.linalg.norm(wide.ravel()))
    return difference / norm if norm > 0 else difference


def _shapes_text(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in zip(names, shapes, strict=True))


def verify_shapes(path: str | os.PathLike[str], program: ExportedProgram, dim_names: Mapping[str, str]) -> list[str]:
    """Runs the file at the example's and, where dims are dynamic, at two other shapes against PyTorch.

    Args:
        path: the ONNX file.
        program: what it was converted from, with example inputs.
        dim_names: declared names of the symbols, for messages.

    Returns:
        The shapes that ran, one text each.

    Raises:
        ConversionError: the file is no valid model, a dim declared dynamic was specialised, or the file computes
            something else.
        BackendError: ONNX Runtime has no kernel for the model's types.
    """
    backend = _loaded(path)
    examples = example_inputs(program)
    dims = dynamic_dims(program)
    sizes = [{dim.symbol: dim.example for dim in dims}, *(other_sizes(dims) if dims else [])]
    module = program.module()
    ran = []
    for seed, chosen in enumerate(sizes):
        shapes = shapes_at(program, chosen)
        random = generator(seed)
        tensors = [like_example(example, shape, random) for example, shape in zip(examples, shapes, strict=True)]
        text = _shapes_text(backend.input_names, shapes)
        expected = run_program(program, module, tensors)
        feeds = dict(zip(backend.input_names, map(as_array, tensors), strict=True))
        declared = {dim_names.get(symbol, symbol): size for symbol, size in chosen.items()}
        _compare(backend, feeds, expected, text, declared)
        ran.append(text)
    return ran


def _loaded(path: str | os.PathLike[str]) -> OnnxRuntimeBackend:
    try:
        return OnnxRuntimeBackend(path)
    except BackendError as error:
        _, invalid, what = str(error).partition("Type Error: ")
        if invalid:
            raise ConversionError(f"the model's types do not fit together in ONNX: {what}") from error
        raise


def _compare(
    backend: OnnxRuntimeBackend,
    feeds: Mapping[str, NDArray[Any]],
    expected: Sequence[Tensor],
    text: str,
    declared: Mapping[str, int],
) -> None:
    at = f"at {', '.join(f'{name}={size}' for name, size in declared.items()) or 'the example shape'}"
    try:
        outputs = backend.run(feeds)
    except BackendError as error:
        if "NOT_IMPLEMENTED" in str(error) or "Unexpected input data type" in str(error):
            raise
        reason = str(error).removeprefix(f"{backend.path}: ")
        raise ConversionError(f"a dynamic dim was specialised: the file fails {at} ({text}): {reason}") from error
    for (name, given), want in zip(outputs.items(), expected, strict=True):
        if tuple(given.shape) != tuple(want.shape):
            raise ConversionError(
                f"a dynamic dim was specialised: output {name} {at}: expected shape {tuple(want.shape)}, "
                f"given {tuple(given.shape)}"
            )
        error_size = relative_l2(given, as_array(want))
        if not error_size <= GROSS_ERROR:
            raise ConversionError(
                f"output {name} {at}: expected PyTorch's values, given a relative L2 error of {error_size:.3g}"
            )
