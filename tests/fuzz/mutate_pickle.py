"""Mutators of the pickles in files of torch.save: other integers, other names of functions, repeated operations."""

from __future__ import annotations

import io
import pickletools
from random import Random

from tests.fuzz.mutate_bytes import some_bytes

_INTEGERS = (b"K\x00", b"K\xff", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"\x8a\x06\0\0\0\0\0\x01", b"N", b")")
_GLOBALS = tuple(
    b"c" + name.replace(b" ", b"\n") + b"\n"
    for name in (
        b"os system", b"builtins bytearray", b"torch Tensor", b"torch DoubleStorage", b"torch Size",
        b"torch._utils _rebuild_parameter", b"torch._utils _rebuild_sparse_tensor", b"torch float8_e5m2",
        b"collections Counter", b"\x1b[2J x",
    )
)  # fmt: skip


def operations(data: bytes, random: Random) -> bytes:
    """One of the pickles that begin the file with one or a few operations exchanged, repeated or left out."""
    found = _pickles(data)
    if not found:
        return some_bytes(data, random)
    starts = random.choice(found)
    first, last = starts[0][1], starts[-1][1] + 1
    parts = [(name, data[start:end]) for (name, start), (_, end) in zip(starts, [*starts[1:], ("", last)], strict=True)]
    for _ in range(random.choice((1, 1, 2, 4))):
        position = random.randrange(len(parts) + 1)
        if position < len(parts):
            parts[position : position + 1] = _edited(*parts[position], random)
    return data[:first] + b"".join(part for _, part in parts) + data[last:]


def _pickles(data: bytes) -> list[list[tuple[str, int]]]:
    """The operations of each, by name and place."""
    stream, found = io.BytesIO(data), []
    try:
        for _ in range(4):
            operations = pickletools.genops(stream)
            found.append([(operation.name, place) for operation, _, place in operations if place is not None])
    except (ValueError, IndexError, UnicodeDecodeError):
        pass
    return found


def _edited(name: str, part: bytes, random: Random) -> list[tuple[str, bytes]]:
    if name.startswith("BININT") or random.random() < 0.1:
        return [(name, random.choice(_INTEGERS))]
    if name == "GLOBAL":
        return [(name, random.choice(_GLOBALS))]
    if random.random() < 0.3:
        return []
    return [(name, part)] * random.choice((1, 2, 30)) if random.random() < 0.5 else [(name, some_bytes(part, random))]
