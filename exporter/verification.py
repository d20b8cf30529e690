"""Runs a converted file at other shapes than it was exported with: the proof that dynamic dims stayed dynamic."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.arrays import as_array
from attnexport.backends import fed
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.backends.onnxruntime_sessions import says_no_kernel
from attnexport.errors import BackendError, ConversionError, first_line
from attnexport.inputs import generator, like_example
from attnexport.program import example_inputs, run_program, shapes_at, size_choices

GROSS_ERROR = 0.1
"""Relative L2 error beyond which a file computes something else; accuracy proper is ``check``'s business."""


def relative_l2(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """‖given - expected‖₂ / ‖expected‖₂, or the plain norm of the difference where expected is zero.

    NaN and infinity count as equal to themselves and as infinitely far from anything else.
    """
    wide, exact = given.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(exact)
    if not np.array_equal(wide[~finite], exact[~finite], equal_nan=True):
        return float("inf")
    difference = float(np.linalg.norm(wide[finite] - exact[finite]))
    norm = float(np.linalg.norm(exact[finite]))
    return difference / norm if norm > 0 else difference


def _shapes_text(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in zip(names, shapes, strict=True))


@dataclass(frozen=True)
class Verified:
    """What a file was run at.

    Attributes:
        shapes: the shapes that ran and agreed with PyTorch, one text each.
        notes: shapes that were left out, and why.
    """

    shapes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify_shapes(path: str | os.PathLike[str], program: ExportedProgram, dim_names: Mapping[str, str]) -> Verified:
    """Runs the file on the example and, where dims are dynamic, at two other shapes, against PyTorch.

    Args:
        path: the ONNX file.
        program: what it was converted from, with example inputs.
        dim_names: declared names of the symbols, for messages.

    Raises:
        ConversionError: the file is no valid model, a dim declared dynamic was specialised, or the file computes
            something else.
        BackendError: ONNX Runtime has no kernel for the model's types.
    """
    backend = _loaded(path)
    examples = example_inputs(program)
    module = program.module()
    ran, notes = [], []
    for seed, chosen in enumerate(size_choices(program)):
        shapes = shapes_at(program, chosen)
        random = generator(seed)
        tensors = [like_example(example, shape, random) for example, shape in zip(examples, shapes, strict=True)]
        declared = {dim_names.get(symbol, symbol): size for symbol, size in chosen.items()}
        at = f"at {', '.join(f'{name}={size}' for name, size in declared.items()) or 'the example shape'}"
        try:
            expected = run_program(program, module, examples if seed == 0 else tensors)
        except Exception as error:
            if seed == 0:
                raise ConversionError(
                    f"PyTorch cannot run the model on its own example: {first_line(error)}"
                ) from error
            notes.append(f"not run {at}: PyTorch itself fails there: {first_line(error)}")
            continue
        pairs = zip(backend.inputs, examples if seed == 0 else tensors, strict=True)
        feeds = {info.name: fed(as_array(tensor), info) for info, tensor in pairs}
        text = _shapes_text(backend.input_names, shapes)
        _compare(backend, feeds, expected, text, at)
        ran.append(text)
    return Verified(tuple(ran), tuple(notes))


def lacks_kernel(error: BackendError) -> bool:
    """Whether ONNX Runtime has no kernel for a type, as for bfloat16 on the CPU, and nothing is wrong with the file."""
    return says_no_kernel(str(error))


def _loaded(path: str | os.PathLike[str]) -> OnnxRuntimeBackend:
    try:
        return OnnxRuntimeBackend(path)
    except BackendError as error:
        if lacks_kernel(error):
            raise
        _, invalid, what = str(error).partition("Type Error: ")
        if invalid:
            advice = "; most operators take bfloat16 from opset 22 on: give --opset 22" if "bfloat16" in what else ""
            raise ConversionError(f"the model's types do not fit together in ONNX: {what}{advice}") from error
        reason = str(error).removeprefix(f"{path}: ")
        raise ConversionError(f"the file that came out is not valid: {reason}") from error


def _compare(
    backend: OnnxRuntimeBackend,
    feeds: Mapping[str, NDArray[Any]],
    expected: Sequence[Tensor],
    text: str,
    at: str,
) -> None:
    try:
        outputs = backend.run(feeds)
    except BackendError as error:
        if lacks_kernel(error):
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
