"""Arguments of run, held together before a file is read."""

from __future__ import annotations

from pathlib import Path

from attnexport.engines.names import ENGINE_SUFFIXES, check_engine_files
from attnexport.errors import InputError
from attnexport.files.npz_kind import check_is_npz
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.messages import option


def refuse_unfit_options(model: Path, data: Path, plugins: Path | None) -> None:
    """Refuses arguments of :func:`attnexport.run` that cannot be used.

    Raises:
        InputError: naming the file.
    """
    if model.suffix in ENGINE_SUFFIXES:
        check_engine_files(model)
    else:
        check_onnx_file(model)
        if plugins is not None:
            because = f"{model} runs through its bodies"
            raise InputError(f"{option('--plugins')}: engines alone use a plugin library, {because}")
    if plugins is not None and not plugins.is_file():
        raise InputError(f"{plugins}: no such file")
    check_is_npz(data)
