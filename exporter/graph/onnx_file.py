"""Whether a file may be an ONNX model, before it is read."""

from __future__ import annotations

from pathlib import Path

from attnexport.errors import InputError

_ZIP = b"PK\x03\x04"


def check_onnx_file(path: Path) -> None:
    """Refuses what is no ONNX model by its first bytes.

    Raises:
        InputError: no file there, one that cannot be read, or an archive as PyTorch and NumPy write them.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with open(path, "rb") as file:
            start = file.read(len(_ZIP))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if start == _ZIP:
        raise InputError(f"{path}: expected an ONNX model, given a zip archive, as PyTorch and NumPy write them")
