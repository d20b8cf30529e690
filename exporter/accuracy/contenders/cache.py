"""Outputs of PyTorch runs on disk, so that the float64 reference of a model and its inputs is computed once."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnexport.errors import InputError
from attnexport.files.arrays import as_array
from attnexport.files.npz import open_arrays, write_arrays
from attnexport.files.private_folder import make_private, open_to_others
from attnexport.messages import count
from attnexport.plugins.building.locations import cache_folder
from attnexport.version import __version__

Outputs = list[NDArray[Any]]

LIMIT = 2 << 30
"""Bytes that a cache folder keeps; the entries unused for longest go first."""

_CHECKSUM, _KEY = "sha256", "key"


def default_folder() -> Path:
    """$XDG_CACHE_HOME/attnexport/reference, or the same below ~/.cache."""
    return cache_folder("reference")


def digest_of(tensors: Sequence[Tensor]) -> str:
    """SHA-256 over dtypes, shapes and values."""
    return _digest([as_array(tensor) for tensor in tensors])


class OutputCache:
    """Outputs by key, one .npz an entry, which holds its whole key and is used for no other.

    Args:
        folder: where they are; it is made when needed. None keeps nothing, and so does a folder into which others can
            write.

    Attributes:
        hits: entries that were used.
        damaged: entries that were cut off or altered, and were computed again.
        refused: why nothing could be written, or empty.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.hits = self.damaged = 0
        self.refused = "" if folder is None else _refusal(folder)
        if self.refused:
            self._folder = None

    def outputs(self, parts: Sequence[str], compute: Callable[[], Outputs]) -> Outputs:
        """The entry, computed and kept when it is not there.

        Args:
            parts: what the outputs depend on besides torch and the operators: model, inputs and precision.
            compute: gives the outputs.
        """
        if self._folder is None:
            return compute()
        key = "\n".join((__version__, torch.__version__, _operators(), *parts)).encode()
        path = self._folder / f"{hashlib.sha256(key).hexdigest()}.npz"
        if path.is_file():
            kept = _read(path, key)
            if kept is not None:
                self.hits += 1
                return kept
            self.damaged += 1
        outputs = compute()
        self._keep(path, key, outputs)
        return outputs

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, one sentence each."""
        found = f"{count(self.damaged, 'cached output')} in {self._folder}"
        damaged = f"{found} {'was' if self.damaged == 1 else 'were'} damaged and computed again"
        refused = f"the reference was not kept for later: {self.refused}"
        return (*([damaged] if self.damaged else []), *([refused] if self.refused else []))

    def trim(self, limit: int = LIMIT) -> None:
        """Deletes the entries unused for longest until the folder holds at most ``limit`` bytes."""
        if self._folder is None or not self._folder.is_dir():
            return
        entries = sorted(((path, path.stat()) for path in self._folder.glob("*.npz")), key=lambda e: -e[1].st_mtime)
        total = 0
        for path, facts in entries:
            total += facts.st_size
            if total > limit:
                path.unlink(missing_ok=True)

    def _keep(self, path: Path, key: bytes, outputs: Outputs) -> None:
        arrays: dict[str, Any] = {f"output_{position}": array for position, array in enumerate(outputs)}
        arrays[_KEY] = np.frombuffer(key, np.uint8)
        arrays[_CHECKSUM] = np.frombuffer(bytes.fromhex(_digest(outputs)), np.uint8)
        try:
            make_private(path.parent)
            write_arrays(path, arrays)
        except (OSError, InputError) as error:
            self.refused = str(error)


def _refusal(folder: Path) -> str:
    """Why a folder is not used, or empty."""
    try:
        why = open_to_others(folder)
    except OSError as error:
        return str(error)
    return why and f"what is in {folder} is not used either: {why}"


def _read(path: Path, key: bytes) -> Outputs | None:
    """An entry's outputs, None when it is damaged or another key's."""
    try:
        with open_arrays(path) as stored:
            if _KEY not in stored or stored[_KEY].bytes != len(key) or stored[_KEY].read().tobytes() != key:
                return None
            outputs = [stored[f"output_{position}"].read() for position in range(len(stored) - 2)]
            whole = stored[_CHECKSUM].read().tobytes().hex() == _digest(outputs)
        os.utime(path)
    except (InputError, KeyError, OSError):
        return None
    return outputs if whole else None


def _digest(arrays: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


@functools.cache
def _operators() -> str:
    """SHA-256 of the sources that define what the operators compute."""
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for source in (package / "models" / "interpreting.py", *sorted((package / "variants").rglob("*.py"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()
