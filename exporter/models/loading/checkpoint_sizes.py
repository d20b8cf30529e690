"""What a file of torch.save says of sizes, held to the file before torch allocates anything."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path

from attnexport.errors import InputError
from attnexport.models.audit.archive import Records
from attnexport.models.audit.shapes import Refusal

_PICKLE = "data.pkl"
_LONGEST_PICKLE = 256 << 20
_DEEPEST = 16
_ALLOCATE = {
    "builtins bytearray",
    "__builtin__ bytearray",
    "torch Tensor",
    "torch._tensor Tensor",
    "torch.storage UntypedStorage",
}
"""What the unpickler of tensors would call with a size of the file's choice."""


def check_checkpoint(path: Path, data: bytes) -> None:
    """Refuses a file of torch.save that would take more memory than it has bytes.

    Args:
        path: for messages.
        data: the file.

    Raises:
        InputError: compressed, overlapping or repeated records, a tensor of more elements than the file has bytes, or
            something else that allocates.
    """
    try:
        for stream in _pickles(data):
            _check_pickle(stream, len(data))
    except Refusal as refusal:
        raise InputError(f"{path}: {refusal}") from None


def _pickles(data: bytes) -> Iterator[io.BytesIO]:
    """The pickle of a zip archive, or those that follow one another in the format of torch before 1.6."""
    if data.startswith(b"PK"):
        yield io.BytesIO(Records(data).read(_PICKLE, _LONGEST_PICKLE))
        return
    stream = io.BytesIO(data)
    for _ in range(4):
        yield stream


def _check_pickle(stream: io.BytesIO, available: int) -> None:
    last, nesting = 0, _Nesting()
    try:
        for operation, argument, _ in pickletools.genops(stream):
            nesting.take(operation.name, argument)
            if isinstance(argument, int) and operation.name.startswith(("BININT", "LONG", "INT")):
                last = argument
            elif operation.name == "BINPERSID" and last > available:
                raise Refusal(f"a tensor of {last} elements, expected at most the {available} bytes of the file")
            elif operation.name == "GLOBAL" and argument in _ALLOCATE:
                raise Refusal(f"calls {argument.replace(' ', '.')}, which no file of weights does")
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError, MemoryError, pickle.UnpicklingError):
        return


class _Nesting:
    """Follows tuples that are used again inside other tuples: each such step may double the time of a hash."""

    def __init__(self) -> None:
        self._levels: dict[object, int] = {}
        self._deepest = 0
        self._made = False

    def take(self, operation: str, argument: object) -> None:
        """Takes in one operation of the pickle."""
        if operation in ("BINPUT", "LONG_BINPUT", "PUT") and self._made:
            self._levels[argument] = self._deepest
        elif operation in ("BINGET", "LONG_BINGET", "GET"):
            self._deepest = max(self._deepest, self._levels.get(argument, -1) + 1)
            if self._deepest > _DEEPEST:
                raise Refusal(f"tuples in tuples, more than {_DEEPEST} of them one in another")
        self._made = operation.startswith("TUPLE")
