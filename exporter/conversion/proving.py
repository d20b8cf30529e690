"""A file that came out of a conversion is run beside PyTorch; where it is wrong, the operator and module are named."""

from __future__ import annotations

from pathlib import Path

from attnexport.accuracy.diagnosis.bisect.search import bisect
from attnexport.accuracy.inputs.files import Batch
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.conversion.other_shapes import Verified, WrongValuesError, verify_shapes
from attnexport.display.progress import Progress, unheard
from attnexport.errors import AttnexportError, BackendError, ConversionError
from attnexport.messages import option
from attnexport.models.model import Model


def proven(path: Path, model: Model, *, unproven: bool, progress: Progress = unheard) -> Verified:
    """Runs a file at the example's shape and others, against PyTorch.

    Args:
        path: the ONNX file.
        model: what it was converted from.
        unproven: accept a file that cannot be run here, with a note.
        progress: is told of each shape. Default: nobody is.

    Raises:
        ConversionError: the file is wrong, or cannot be run and that is not accepted.
    """
    try:
        if not model.has_examples:
            raise BackendError("the program carries no example inputs")
        return verify_shapes(path, model, progress)
    except WrongValuesError as error:
        raise ConversionError(f"{error}{_first_wrong(path, model, error, progress)}") from error
    except BackendError as error:
        reason = f"not run: {str(error).removeprefix(f'{path}: ')}"
        if not unproven:
            raise ConversionError(
                f"the file is not proven, {reason}; {option('--unproven', True)} writes it all the same"
            ) from error
        return Verified((), (reason,))


def _first_wrong(path: Path, model: Model, wrong: WrongValuesError, progress: Progress) -> str:
    """The first tensor inside that is off, empty where none can be named."""
    try:
        found = bisect(model, path, Batch("verification", wrong.tensors), OnnxRuntimeBackend, progress=progress)
    except AttnexportError:
        return ""
    return "" if found.guilty is None else f"; first off is {found.guilty}"
