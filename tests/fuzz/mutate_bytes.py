"""Mutators of bytes: the file is a row of numbers to them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Mutator = Callable[[bytes, Random], bytes]

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)


def some_bytes(data: bytes, random: Random) -> bytes:
    """One to eight edits of single places."""
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        data = random.choice(_EDITS)(data, random)
    return data


def cut(data: bytes, random: Random) -> bytes:
    """The first part of the file."""
    return data[: random.randrange(len(data) + 1)]


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return b"\0"
    position = random.randrange(len(data))
    return data[:position] + bytes([data[position] ^ 1 << random.randrange(8)]) + data[position + 1 :]


def _number(data: bytes, random: Random) -> bytes:
    value, position = random.choice(_NUMBERS), random.randrange(len(data) + 1)
    length = max(1, (value.bit_length() + 7) // 8)
    return data[:position] + value.to_bytes(length, "little") + data[position + length :]


def _remove(data: bytes, random: Random) -> bytes:
    start, length = random.randrange(len(data) + 1), random.choice((1, 2, 8, 64, 1024))
    return data[:start] + data[start + length :]


def _repeat(data: bytes, random: Random) -> bytes:
    start, length = random.randrange(len(data) + 1), random.choice((1, 4, 32, 512))
    return data[: start + length] + data[start : start + length] * random.choice((1, 1, 20)) + data[start + length :]


def _insert(data: bytes, random: Random) -> bytes:
    position = random.randrange(len(data) + 1)
    return data[:position] + random.randbytes(random.choice((1, 3, 40))) + data[position:]


_EDITS: tuple[Mutator, ...] = (_flip, _flip, _number, _remove, _repeat, _insert)
