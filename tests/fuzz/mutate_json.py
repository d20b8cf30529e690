"""Mutators of JSON: values of other types, huge numbers, missing and unknown keys."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from tests.fuzz.mutate_bytes import some_bytes

VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 7, 2**31, 2**63, 2**64, 10**30, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "0", "x",
    "a" * 5000, "x\x1b[2J\nattnexport: forged", "\ud800", "../../secret", "a\0b", "::error::forged", "2**(2**40)",
    [], {},
    [None], [[[[[]]]]], {"": {}}, {"as_int": 2**62}, {"as_none": None}, [10**9, 10**9], "float64", "torch.float32",
)  # fmt: skip


def some_values(data: bytes, random: Random) -> bytes:
    """The JSON with one or a few values exchanged; now and then nested too deeply, or bytes that are none."""
    chance = random.random()
    if chance < 0.04:
        return b"[" * random.choice((500, 100_000))
    if chance < 0.1:
        return some_bytes(data, random)
    try:
        root = [json.loads(data)]
    except ValueError:
        return some_bytes(data, random)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        _edit(root, random)
    return json.dumps(root[0]).encode()


def _edit(root: list[Any], random: Random) -> None:
    holder, key = random.choice(_places(root))
    choice = random.random()
    if choice < 0.55:
        holder[key] = copy.deepcopy(random.choice(VALUES))
    elif choice < 0.7 and holder is not root:
        del holder[key]
    elif isinstance(holder, dict):
        holder[random.choice(("", "more", "__class__", "x\x1b[2J", key + "2"))] = copy.deepcopy(holder[key])
    elif holder is not root:
        holder.insert(key, copy.deepcopy(holder[key]))


def _places(root: list[Any]) -> list[tuple[Any, Any]]:
    """Every value by its holder and key."""
    found, left = [], [root]
    while left:
        holder = left.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in pairs:
            found.append((holder, key))
            if isinstance(value, (dict, list)):
                left.append(value)
    return found
