"""Mutators of .npy headers."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.mutate_bytes import some_bytes

_TYPES = (
    "'<f4'", "'<f8'", "'>f8'", "'|O'", "'<U5'", "'<i8'", "'|V2'", "'|b1'", "'<c16'", "'|V999999999'", "'<M8[s]'", "'x'",
    "''",
    "[('a', '<f4')]", "None", "'<f4", "__import__('os')", "-" * 2000 + "1",
)  # fmt: skip
_SHAPES = (
    "()", "(0,)", "(-1,)", "(2, 6, 8)", "(2000000000, 6, 8)", "(99999999999999999999,)", "(1e9,)", "3", "None", "'2'",
    "(" * 300 + ")" * 300, "(1,) * 9", f"({'1, ' * 70})", "(2, 0, 8)", "(True,)", "(2L, 6L, 8L)",
)  # fmt: skip


def header(data: bytes, random: Random) -> bytes:
    """The array with another type, shape, order, version or header length."""
    if not data.startswith(b"\x93NUMPY") or random.random() < 0.15:
        return some_bytes(data, random)
    length = int.from_bytes(data[8:10], "little")
    text, values = data[10 : 10 + length].decode("latin-1"), data[10 + length :]
    choice = random.random()
    if choice < 0.3:
        text = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': {random.choice(_TYPES)}", text)
    elif choice < 0.6:
        text = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {random.choice(_SHAPES)}", text)
    elif choice < 0.7:
        text = text.replace("False", random.choice(("True", "1", "'C'", "None")))
    elif choice < 0.8:
        text = text.replace("'shape'", random.choice(("'descr'", "shape", "'more'")))
    elif choice < 0.9:
        values = some_bytes(values, random)
    version = random.choice((1, 1, 1, 1, 2, 3, 9))
    given = random.choice((len(text), len(text), len(text), 0, 0xFFFF))
    return data[:6] + bytes([version, 0]) + given.to_bytes(2 if version == 1 else 4, "little") + text.encode() + values
