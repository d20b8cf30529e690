"""Kinds of files by the ends of their names: what a name promises is what is written under it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import InputError


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Attributes:
        what: in words.
        suffixes: ends of its name, in small letters; the first is the usual one. Empty for a folder.
    """

    what: str
    suffixes: tuple[str, ...] = ()


ONNX = FileKind("an ONNX file", (".onnx",))
ENGINE = FileKind("an engine of TensorRT", (".engine", ".plan", ".trt"))
ARRAYS = FileKind("an .npz of arrays", (".npz",))
JSON = FileKind("JSON", (".json",))
JUNIT = FileKind("JUnit XML", (".xml",))
MARKDOWN = FileKind("Markdown", (".md", ".markdown"))
HTML = FileKind("an HTML page", (".html", ".htm"))
PNG = FileKind("a PNG picture", (".png",))
FOLDER = FileKind("a folder")

KINDS = (
    ONNX,
    ENGINE,
    ARRAYS,
    JSON,
    JUNIT,
    MARKDOWN,
    HTML,
    PNG,
    FileKind("a program of torch.export", (".pt2",)),
    FileKind("a file of torch.save", (".pt", ".pth", ".ckpt")),
    FileKind("a file of safetensors", (".safetensors",)),
    FileKind("one array", (".npy",)),
    FileKind("TOML", (".toml",)),
    FileKind("a shared library", (".so", ".dll")),
    FileKind("Python code", (".py",)),
)
"""Those that a name can promise."""


def check_kind(path: str | os.PathLike[str], kind: FileKind) -> None:
    """Refuses a name that promises another kind of file. One without an end, or with an unknown one, may be any.

    Raises:
        InputError: naming the file and both kinds.
    """
    suffix = Path(path).suffix.lower()
    promised = next((known for known in KINDS if suffix in known.suffixes), kind)
    if promised != kind:
        usual = f", as {Path(path).with_suffix(kind.suffixes[0]).name}" if kind.suffixes else ""
        raise InputError(f"{path}: expected a name for {kind.what}{usual}, given that of {promised.what} ({suffix})")


def format_of(path: Path, kinds: Mapping[str, FileKind]) -> str:
    """The name among ``kinds`` whose suffix a path has.

    Raises:
        InputError: another suffix, or none.
    """
    for name, kind in kinds.items():
        if path.suffix.lower() in kind.suffixes:
            return name
    raise InputError(f"{path}: expected a name that ends in {', '.join(kind.suffixes[0] for kind in kinds.values())}")
