"""Mutators of zip archives: entries cut, repeated, renamed, exchanged, packed, or damaged inside by their kind."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from random import Random

from tests.fuzz.mutate_arrays import header
from tests.fuzz.mutate_bytes import Mutator, some_bytes
from tests.fuzz.mutate_json import some_values
from tests.fuzz.mutate_pickle import operations

Entries = list[tuple[str, bytes]]

_INSIDE: dict[str, Mutator] = {".json": some_values, ".npy": header, ".pkl": operations}
_NAMES = ("", "x", "../x", "/etc/x", "x\x1b[2J\n", "a" * 3000, "x/", "labels.npy", "größe.npy", "models/other.json")


def entries(data: bytes, random: Random) -> bytes:
    """The archive with one thing changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            given = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        return some_bytes(data, random)
    edit = random.choice((_inside, _inside, _inside, _inside, _remove, _repeat, _rename, _exchange, _add))
    packing = zipfile.ZIP_DEFLATED if random.random() < 0.08 else zipfile.ZIP_STORED
    return _written(edit(given, random) if given else given, packing)


def inside(suffix: str) -> Mutator:
    """A mutator of one kind of entries, the archive whole."""

    def mutate(data: bytes, random: Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            given = [(name, archive.read(name)) for name in archive.namelist()]
        chosen = random.choice([name for name, _ in given if name.endswith(suffix)])
        return _written([(name, _INSIDE[suffix](part, random) if name == chosen else part) for name, part in given])

    return mutate


def _written(given: Entries, packing: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", packing) as archive:
        warnings.simplefilter("ignore")
        for name, part in given:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), part, packing)
    return stream.getvalue()


def _inside(given: Entries, random: Random) -> Entries:
    position = random.randrange(len(given))
    name, part = given[position]
    mutate = next((mutate for suffix, mutate in _INSIDE.items() if name.endswith(suffix)), some_bytes)
    return [*given[:position], (name, mutate(part, random)), *given[position + 1 :]]


def _remove(given: Entries, random: Random) -> Entries:
    position = random.randrange(len(given))
    return given[:position] + given[position + 1 :]


def _repeat(given: Entries, random: Random) -> Entries:
    return [*given, random.choice(given)]


def _rename(given: Entries, random: Random) -> Entries:
    position = random.randrange(len(given))
    name, part = given[position]
    folder = name.rpartition("/")[0]
    other = random.choice(_NAMES)
    return [*given[:position], (f"{folder}/{other}" if folder else other, part), *given[position + 1 :]]


def _exchange(given: Entries, random: Random) -> Entries:
    first, second = random.choice(given), random.choice(given)
    swapped = {first[0]: second[1], second[0]: first[1]}
    return [(name, swapped.get(name, part)) for name, part in given]


def _add(given: Entries, random: Random) -> Entries:
    root = given[0][0].partition("/")[0]
    name = random.choice(("readme.txt", "extra/attnexport.json", "data/weights/model.pt", "more.npy"))
    parts: tuple[Callable[[], bytes], ...] = (lambda: b"hello", lambda: random.randbytes(200), lambda: _written(given))
    return [*given, (f"{root}/{name}" if "/" in given[0][0] else name, random.choice(parts)())]
