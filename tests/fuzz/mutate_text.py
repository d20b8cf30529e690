"""Mutators of TOML and of the header of safetensors."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.mutate_bytes import some_bytes
from tests.fuzz.mutate_json import some_values

_VALUES = (
    "1", "-1", "0", "nan", "inf", "1e400", "1" + "0" * 400, "true", "'x'", "[]", "{}", "2026-11-29", '"x\\u001b[2J"',
    "[" * 5000,
    '"' + "a" * 5000 + '"', "0x10", '""', "{ limit = 1 }",
)  # fmt: skip
_LINES = (
    "[outputs]",
    "[layers.x]",
    '[outputs."a\\u001b[2J"]',
    "limit = 1",
    "[[outputs.y]]",
    "x = 1",
    "=",
    '["',
    "factor = 2",
)


def toml(data: bytes, random: Random) -> bytes:
    """A value, a line or some bytes exchanged."""
    lines = data.decode("utf-8", "replace").splitlines()
    choice = random.random()
    if not lines or choice < 0.3:
        return some_bytes(data, random)
    position = random.randrange(len(lines))
    if choice < 0.7:
        lines[position] = re.sub(r"= .*", lambda _: f"= {random.choice(_VALUES)}", lines[position])
    elif choice < 0.85:
        lines.insert(position, random.choice((*_LINES, lines[position])))
    else:
        del lines[position]
    return "\n".join(lines).encode()


def safetensors(data: bytes, random: Random) -> bytes:
    """The header with values exchanged, or its length, or some bytes."""
    length = int.from_bytes(data[:8], "little")
    choice = random.random()
    if choice < 0.2:
        return some_bytes(data, random)
    if choice < 0.3:
        return random.choice((0, 1, length + 1, 10**8, 2**63)).to_bytes(8, "little") + data[8:]
    header = some_values(data[8 : 8 + length], random)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]
