"""Runs a converted file at other shapes than it was exported with: the proof that dynamic dims stayed dynamic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from attnexport.accuracy.errors.distance import relative_l2
from attnexport.backends import fed
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.backends.onnxruntime_sessions import lacks_kernel
from attnexport.display.progress import Progress, unheard
from attnexport.errors import BackendError, ConversionError, first_line
from attnexport.files.arrays import as_array
from attnexport.files.shapes import shapes_text
from attnexport.messages import named, option
from attnexport.models.dims import size_choices
from attnexport.models.examples import generator, like_example
from attnexport.models.model import Model
from attnexport.models.program import next_state

GROSS_ERROR = 0.1
"""Relative L2 error beyond which a file computes something else; accuracy proper is ``check``'s business."""


class WrongValuesError(ConversionError):
    """A file that runs and computes something else than PyTorch.

    Attributes:
        tensors: inputs on which it does.
    """

    def __init__(self, message: str, tensors: tuple[Tensor, ...]) -> None:
        super().__init__(message)
        self.tensors = tensors


@dataclass(frozen=True)
class _Trial:
    """Inputs for one run, and where that is, for messages."""

    at: str
    tensors: Sequence[Tensor]


@dataclass(frozen=True)
class Verified:
    """What a file was run at.

    Attributes:
        shapes: the shapes that ran and agreed with PyTorch, one text each.
        notes: shapes that were left out, and why.
    """

    shapes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify_shapes(path: str | os.PathLike[str], model: Model, progress: Progress = unheard) -> Verified:
    """Runs the file on the example and, where dims are dynamic, at two other shapes, against PyTorch.

    A file with state runs on the example twice, the second time from what the first call left.

    Args:
        path: the ONNX file.
        model: what it was converted from, with example inputs.
        progress: is told of each shape. Default: nobody is.

    Raises:
        WrongValuesError: the file computes something else.
        ConversionError: the file is no valid model, or a dim declared dynamic was specialised.
        BackendError: ONNX Runtime has no kernel for the model's types.
    """
    backend = _loaded(path)
    ran, notes = [], []
    for number, trial in enumerate(_trials(model)):
        text = shapes_text(zip(backend.input_names, (tensor.shape for tensor in trial.tensors), strict=True))
        progress(f"running the file at {text}", None)
        try:
            expected = model.run(trial.tensors)
        except Exception as error:
            if number == 0:
                raise ConversionError(
                    f"PyTorch cannot run the model on its own example: {first_line(error)}"
                ) from error
            notes.append(f"not run {trial.at}: PyTorch itself fails there: {first_line(error)}")
            continue
        _compare(backend, trial, expected, text)
        ran.append(text)
        if number == 0 and model.state_names:
            _compare_next_call(backend, model, trial, expected, text)
    return Verified(tuple(ran), tuple(notes))


def _trials(model: Model) -> Iterator[_Trial]:
    """The example, and values like its own at other sizes."""
    for seed, chosen in enumerate(size_choices(model.program)):
        declared = {model.symbols.get(symbol, symbol): size for symbol, size in chosen.items()}
        at = f"at {', '.join(f'{name}={size}' for name, size in declared.items()) or 'the example shape'}"
        random = generator(seed)
        drawn = zip(model.inputs, model.examples, model.shapes_at(chosen), strict=True)
        yield _Trial(
            at,
            [
                example if seed == 0 or spec.is_state else like_example(example, shape, random)
                for spec, example, shape in drawn
            ],
        )


def _compare_next_call(
    backend: OnnxRuntimeBackend, model: Model, trial: _Trial, outputs: Sequence[Tensor], text: str
) -> None:
    """The same inputs with what the first call left in the buffers."""
    count = sum(name in backend.output_names for name in map(next_state, backend.input_names))
    tensors = [*trial.tensors[: len(trial.tensors) - count], *outputs[len(outputs) - count :]]
    second = _Trial("at the second call", tensors)
    _compare(backend, second, model.run(tensors), text)


def _loaded(path: str | os.PathLike[str]) -> OnnxRuntimeBackend:
    try:
        return OnnxRuntimeBackend(path)
    except BackendError as error:
        if lacks_kernel(error):
            raise
        _, invalid, what = str(error).partition("Type Error: ")
        if invalid:
            advice = f"; most operators take bfloat16 from opset 22 on: give {option('--opset', 22)}"
            advice = advice if "bfloat16" in what else ""
            raise ConversionError(f"the model's types do not fit together in ONNX: {what}{advice}") from error
        reason = str(error).removeprefix(f"{path}: ")
        raise ConversionError(f"the file that came out is not valid: {reason}") from error


def _compare(backend: OnnxRuntimeBackend, trial: _Trial, expected: Sequence[Tensor], text: str) -> None:
    at = trial.at
    pairs = zip(backend.inputs, trial.tensors, strict=True)
    feeds = {info.name: fed(as_array(tensor), info) for info, tensor in pairs}
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
                f"a dynamic dim was specialised: {named('output', name)} {at}: expected shape {tuple(want.shape)}, "
                f"given {tuple(given.shape)}"
            )
        error_size = relative_l2(given, as_array(want))
        if not error_size <= GROSS_ERROR:
            raise WrongValuesError(
                f"{named('output', name)} {at}: expected PyTorch's values, given a relative L2 error of "
                f"{error_size:.3g}",
                tuple(trial.tensors),
            )
