"""Mutators of protobuf messages: fields repeated, left out, moved, with huge numbers or other texts."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutate_bytes import some_bytes

Field = tuple[int, int, int | bytes]
"""Number, wire type, and value."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NUMBERS = (0, 1, 2, 7, 16, 127, 255, 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1)
_TEXTS = (
    b"",
    b"x",
    b"\xff\xfe",
    b"x\x1b[2J\nattnexport: forged",
    b"a" * 3000,
    b"../../secret",
    b"attnexport",
    b"Loop",
    b"::error::x",
)


def fields(data: bytes, random: Random) -> bytes:
    """The message with one or a few fields changed, at any depth."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = _edited(data, random, depth=random.randrange(7))
    return data


def _edited(data: bytes, random: Random, depth: int) -> bytes:
    message = parsed(data)
    if not message:
        return random.choice(_TEXTS) if random.random() < 0.6 else some_bytes(data, random)
    position = random.randrange(len(message))
    number, kind, value = message[position]
    if depth and isinstance(value, bytes):
        message[position] = (number, kind, _edited(value, random, depth - 1))
        return written(message)
    choice = random.random()
    if choice < 0.25:
        del message[position]
    elif choice < 0.45:
        message[position:position] = [message[position]] * random.choice((1, 1, 50))
    elif choice < 0.55:
        message.append(message.pop(position))
    elif choice < 0.65:
        message[position] = (random.choice((1, 2, 3, 4, 5, 7, 11, 20, 25, 500)), kind, value)
    elif isinstance(value, bytes):
        message[position] = (number, kind, random.choice((random.choice(_TEXTS), some_bytes(value, random))))
    else:
        message[position] = (number, _VARINT, random.choice(_NUMBERS))
    return written(message)


def parsed(data: bytes) -> list[Field] | None:
    """The fields of a message; None where the bytes are none."""
    found: list[Field] = []
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if position < 0 or number == 0 or number > 600 or kind not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            return None
        if kind == _VARINT:
            value, position = _varint(data, position)
            found.append((number, kind, value))
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if length is None:
                length, position = _varint(data, position)
            found.append((number, kind, data[position : position + length]))
            position += length
        if position < 0 or position > len(data):
            return None
    return found


def written(message: list[Field]) -> bytes:
    """The bytes of a message."""
    parts = []
    for number, kind, value in message:
        parts.append(_as_varint(number << 3 | kind))
        if isinstance(value, int):
            parts.append(_as_varint(value))
        else:
            parts.append((_as_varint(len(value)) if kind == _BYTES else b"") + value)
    return b"".join(parts)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and where it ends; -1 where it does not."""
    value = 0
    for shift in range(0, 70, 7):
        if position < 0 or position >= len(data):
            return 0, -1
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, -1


def _as_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
