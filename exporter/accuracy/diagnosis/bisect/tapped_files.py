"""What is written to disk: copies of an ONNX file that give more of its tensors as outputs, and those tensors."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from attnexport.files.staging import staging_folder, work_folder


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside the file, so that weights can be linked, or where temporary files go; gone at the end."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(staging_folder(path.parent, path.name))
        except OSError:
            folder = stack.enter_context(work_folder())
        yield folder


@contextlib.contextmanager
def tapped_copy(path: Path, external: Sequence[str], tensors: Sequence[str]) -> Iterator[Path]:
    """A copy of an ONNX file that is gone at the end.

    Args:
        path: the file.
        external: files that hold its weights, relative to its folder. Those outside of it are left out.
        tensors: names of tensors that become outputs, behind the file's own.
    """
    # Protobuf merges a message that is given twice: outputs can be appended without reading the weights.
    outputs = [onnx.ValueInfoProto(name=tensor) for tensor in tensors]
    more = onnx.ModelProto(graph=onnx.GraphProto(output=outputs))
    with scratch_folder(path) as folder:
        copy = folder / path.name
        shutil.copyfile(path, copy)
        with open(copy, "ab") as file:
            file.write(more.SerializeToString())
        for name in external:
            _link(path.parent, folder, name)
        yield copy


def _link(source: Path, target: Path, name: str) -> None:
    """A hard link, since ONNX Runtime refuses weights behind symbolic ones; a copy on another disk."""
    data, link = source / name, target / name
    if not data.resolve().is_relative_to(source.resolve()) or ".." in Path(name).parts or not data.is_file():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(data.resolve(), link)
    except OSError:
        shutil.copyfile(data, link)


class TensorStore:
    """Arrays in files of a folder, so that many can be kept and one is in memory at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}

    def put(self, name: str, array: NDArray[Any]) -> None:
        """Keeps an array under a name."""
        np.save(self._file(name), array, allow_pickle=False)

    def take(self, name: str) -> NDArray[Any]:
        """The array of that name."""
        array: NDArray[Any] = np.load(self._file(name), allow_pickle=False)
        return array

    def _file(self, name: str) -> Path:
        number = self._numbers.setdefault(name, len(self._numbers))
        return self._folder / f"{number}.npy"
