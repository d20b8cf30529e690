"""What kind of file a MODEL is, told by its content, and one clear line for every kind that is no MODEL."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO, Literal

from attnexport.errors import InputError

Kind = Literal["program", "checkpoint", "safetensors"]

_EXPORT = "export the model from its Python code with attnexport.save(model, 'model.pt2', args=...)"
_START = 16
"""Bytes that every kind but a zip archive is told by."""

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_BY_START = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras or TensorFlow)"),
    (b"GGUF", "a GGUF file (llama.cpp)"),
    (b"ftrt", "a TensorRT engine, which is built for one device and cannot be converted back"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x80", "a plain pickle, not a file of torch.save"),
)
_BY_SUFFIX = {
    ".h5": "an HDF5 file (Keras or TensorFlow)",
    ".keras": "a Keras model",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite model",
    ".engine": "a TensorRT engine, which is built for one device and cannot be converted back",
    ".plan": "a TensorRT engine, which is built for one device and cannot be converted back",
}


def kind_of(path: Path) -> Kind:
    """What :func:`recognise` says of a file, of which little is read.

    Raises:
        InputError: a file that is missing, a folder, empty, unreadable, or no model.
    """
    _refuse_no_file(path)
    try:
        with open(path, "rb") as file:
            return recognise(path, file)
    except OSError as error:
        raise _unreadable(path, error) from None


def read_model_file(path: Path) -> bytes:
    """The bytes of a file. Raises InputError: missing, a folder, empty or unreadable."""
    _refuse_no_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _refuse_no_file(path: Path) -> None:
    if path.is_dir():
        what = "a TensorFlow SavedModel" if (path / "saved_model.pb").exists() else "a folder"
        raise InputError(f"{path}: is {what}, expected a .pt2, .pt or .pth file: {_EXPORT}")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file, expected a .pt2, .pt or .pth file")


def _unreadable(path: Path, error: OSError) -> InputError:
    missing = isinstance(error, FileNotFoundError)
    return InputError(f"{path}: {'no such file' if missing else f'cannot be read: {error.strerror or error}'}")


def recognise(path: Path, file: IO[bytes]) -> Kind:
    """Tell a torch.export archive from a torch.save file and from weights.

    Args:
        path: what messages call it.
        file: its content, from the beginning.

    Raises:
        InputError: anything else, naming what it is and what to do instead.
    """
    data = file.read(_START)
    if not data:
        raise InputError(f"{path}: the file is empty")
    if data.startswith(b"PK\x03\x04"):
        return _recognise_zip(path, file)
    if data.startswith(_LEGACY_TORCH):
        return "checkpoint"
    if _is_safetensors(data, file.seek(0, os.SEEK_END)):
        return "safetensors"
    if path.suffix == ".onnx" or _is_onnx(data):
        raise InputError(
            f"{path}: is an ONNX file already, expected a PyTorch model (.pt2, .pt or .pth); "
            "to look at it, use: attnexport inspect"
        )
    what = next((what for start, what in _BY_START if data.startswith(start)), _BY_SUFFIX.get(path.suffix))
    if data[4:8] == b"TFL3":
        what = _BY_SUFFIX[".tflite"]
    if what is not None:
        raise InputError(f"{path}: is {what}, expected a .pt2, .pt or .pth file of PyTorch: {_EXPORT}")
    raise InputError(
        f"{path}: is not a model file that attnexport reads (.pt2 of torch.export, .pt or .pth of torch.save, "
        ".safetensors), or it is damaged"
    )


def _recognise_zip(path: Path, file: IO[bytes]) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise InputError(
            f"{path}: the file is truncated or damaged (its zip archive has no table of contents): copy it again"
        ) from None
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise InputError(f"{path}: is a TorchScript archive, which is compiled code rather than a model: {_EXPORT}")
    if ".data/extern_modules" in inner:
        raise InputError(f"{path}: is a torch.package archive, which holds Python code: {_EXPORT}")
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return "program"
    if "data.pkl" in inner:
        return "checkpoint"
    if "config.json" in names and any(name.endswith(".h5") for name in names):
        raise InputError(f"{path}: is a Keras model, expected a .pt2, .pt or .pth file of PyTorch: {_EXPORT}")
    if any(name.endswith(".npy") for name in names):
        raise InputError(f"{path}: holds NumPy arrays (.npz), expected a model (.pt2, .pt or .pth)")
    raise InputError(f"{path}: is a zip archive but not of torch.export or torch.save: {_EXPORT}")


def _is_safetensors(data: bytes, size: int) -> bool:
    header = int.from_bytes(data[:8], "little")
    return size > 10 and data[8:9] == b"{" and 2 <= header <= max(size, 2**20)


def _is_onnx(data: bytes) -> bool:
    # A ModelProto begins with its IR version (field 1), then a text or the opsets (fields 2 to 8).
    return data[0] == 0x08 and len(data) > 3 and 3 <= data[1] <= 20 and data[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)
