"""What torch.onnx makes of a program, with our translations in it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch.export import ExportedProgram

from attnexport.errors import ConversionError
from attnexport.graph.exact_scalars import restore_scalars
from attnexport.graph.nodes import translation_table
from attnexport.graph.torch_values import torch_values
from attnexport.graph.torchlib import torchlib_unparsed


@dataclass(frozen=True)
class Translated:
    """A program in ONNX.

    Attributes:
        model: its graph.
        torch_values: by name of a tensor in it, the value of the program that it is.
        notes: numbers that ONNX holds with fewer digits, one sentence each.
    """

    model: ir.Model
    torch_values: dict[str, str]
    notes: list[str]


def translated(program: ExportedProgram, opset: int) -> Translated:
    """Has torch.onnx export a program.

    Args:
        program: the model.
        opset: version of the default operator set, 18 or higher.

    Raises:
        ConversionError: an operator that ONNX lacks, by its name, or what else torch.onnx says.
    """
    try:
        with _quiet(), torchlib_unparsed():
            exported = torch.onnx.export(
                program,
                (),
                opset_version=opset,
                dynamo=True,
                verbose=False,
                custom_translation_table=translation_table(),
            )
    except Exception as error:
        raise ConversionError(_explain(error)) from error
    assert exported is not None
    assert exported.exported_program is not None
    model: ir.Model = exported.model
    if model.opset_imports[""] != opset:
        raise ConversionError(
            f"opset {opset}: the exporter could not convert this graph from opset {model.opset_imports['']}"
        )
    decomposed = exported.exported_program
    return Translated(model, torch_values(program, decomposed), restore_scalars(model, decomposed))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's progress and advice; its errors are raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _explain(error: BaseException) -> str:
    """The innermost cause in one line, naming the operator ONNX lacks where that is it."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split())
    if "No ONNX function found for" in text:
        operator = text.split("op='", 1)[-1].split("'", 1)[0]
        return (
            f"{operator}: ONNX has no operator for it; replace it in the model, or register a "
            "translation for it with torch.onnx"
        )
    return f"torch.onnx.export failed: {text[:500]}"
