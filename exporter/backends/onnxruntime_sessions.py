"""Opens an ONNX file so that what runs is what is written in it, and nothing else.

Three kinds of files need more than a plain session of ONNX Runtime. Those with Q/DQ nodes: its default optimisation
fuses them into integer kernels, which round elsewhere, saturate on processors without VNNI, and do not exist for 8-bit
floats. Those in bfloat16, for which its CPU kernels are missing, or which take or give it, as NumPy cannot: they run as
rounded float32. And those with another operator that it has no kernel for, as most in float64: onnx's own evaluator
runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import onnxruntime

from attnexport.backends.onnx_reference import ReferenceSession
from attnexport.errors import BackendError, InputError, first_line
from attnexport.files.staging import work_folder
from attnexport.graph.inspection import check_external_data, read_model
from attnexport.graph.quantization import is_quantized
from attnexport.graph.widening import holds_bfloat16, widen_bfloat16
from attnexport.graph.writing import write_model

AS_WRITTEN = "Q/DQ nodes as they are written"
WIDENED = "bfloat16 as rounded float32"
BY_REFERENCE = "by onnx's reference, for want of kernels"

_AS_WRITTEN_ENTRIES = {"session.x64quantprecision": "1", "session.disable_quant_qdq": "1"}


@dataclass(frozen=True)
class OpenedSession:
    """A session and how it reads its file.

    Attributes:
        session: ready to run, ONNX Runtime's or onnx's.
        reading: what a report should say of how the file is run, one phrase each; empty for a plain session.
    """

    session: Any
    reading: tuple[str, ...] = ()


def open_session(path: Path, providers: Sequence[str]) -> OpenedSession:
    """A session for the file.

    Args:
        path: the .onnx file; external data is found beside it.
        providers: execution providers in order of preference.

    Raises:
        BackendError: ONNX Runtime refuses the file, or nothing here has kernels for it.
    """
    reading = (AS_WRITTEN,) if _is_quantized(path) else ()
    try:
        session = _session(path, providers, reading)
    except Exception as error:
        if not lacks_kernel(error):
            raise BackendError(f"{path}: ONNX Runtime cannot load it: {first_line(error)}") from error
        missing = first_line(error)
    else:
        if not _exchanges_bfloat16(session):
            return OpenedSession(session, reading)
        missing = "it takes or gives bfloat16, which NumPy lacks"
    try:
        return _without_kernels(path, providers, reading)
    except Exception as error:
        raise BackendError(
            f"{path}: ONNX Runtime cannot load it: {missing}; nor can it run otherwise: {first_line(error)}"
        ) from error


def _exchanges_bfloat16(session: onnxruntime.InferenceSession) -> bool:
    return any(value.type == "tensor(bfloat16)" for value in (*session.get_inputs(), *session.get_outputs()))


def _without_kernels(path: Path, providers: Sequence[str], reading: Sequence[str]) -> OpenedSession:
    """A session for a file that ONNX Runtime lacks kernels for."""
    check_external_data(path)
    if holds_bfloat16(read_model(path)):
        return OpenedSession(_widened_session(path, providers, reading), (*reading, WIDENED))
    return OpenedSession(ReferenceSession(path), (*reading, BY_REFERENCE))


def lacks_kernel(error: Exception) -> bool:
    """Whether ONNX Runtime has no kernel for a type, as for bfloat16 on the CPU, and nothing is wrong with the file."""
    message = str(error)
    return "NOT_IMPLEMENTED" in message or "Could not find an implementation" in message


def _is_quantized(path: Path) -> bool:
    """Whether the file holds Q/DQ nodes; False for what is no model, which ONNX Runtime then says itself."""
    try:
        return is_quantized(read_model(path))
    except InputError:
        return False


def _session(path: Path, providers: Sequence[str], reading: Sequence[str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Errors are raised; a log would say them a second time.
    options.log_severity_level = 4
    if AS_WRITTEN in reading:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        for name, value in _AS_WRITTEN_ENTRIES.items():
            options.add_session_config_entry(name, value)
    # Its way back to the CPU, which is all that is left to try, prints to stdout.
    return onnxruntime.InferenceSession(str(path), options, providers=list(providers), enable_fallback=0)


def _widened_session(path: Path, providers: Sequence[str], reading: Sequence[str]) -> onnxruntime.InferenceSession:
    model = ir.load(path)
    widen_bfloat16(model)
    with work_folder() as folder:
        copy = folder / "widened.onnx"
        write_model(model, copy)
        return _session(copy, providers, reading)
