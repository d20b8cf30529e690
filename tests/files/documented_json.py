"""What JSON holds, compared with docs/report-formats.md and with the data classes that it was written from."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

_PAGE = Path(__file__).parents[2] / "docs" / "report-formats.md"
_KEY = re.compile(r"`([^`]+)`")


def documented(schema: str) -> dict[str, set[str]]:
    """The keys of every object of a format by its place, as ``heads[]``; of the whole by ``·``."""
    page = _PAGE.read_text(encoding="utf-8")
    (section,) = (part for part in page.split("\n## ") if part.startswith(f"{schema}\n"))
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return {place: set(_KEY.findall(row[2])) for row in rows for place in _KEY.findall(row[1])}


def assert_documented(written: Mapping[str, Any], schema: str | None = None) -> None:
    """Every object has the keys that the page gives for its place, and the report has an object at every place."""
    objects = documented(schema or written["schema"])
    found = list(_objects(written, objects, "·"))
    for place, keys in found:
        assert keys == objects[place], place
    assert {place for place, _ in found} == set(objects)


def _objects(written: Any, objects: Collection[str], place: str) -> Iterator[tuple[str, set[str]]]:
    """Place and keys of every object; what the page has no keys of must be plain values by name."""
    if isinstance(written, (list, tuple)):
        for item in written:
            yield from _objects(item, objects, f"{place}[]")
    elif isinstance(written, Mapping) and place in objects:
        yield place, set(written)
        for key, value in written.items():
            yield from _objects(value, objects, key if place == "·" else f"{place}.{key}")
    elif isinstance(written, Mapping) and any(other.startswith(f"{place}{{}}") for other in objects):
        for value in written.values():
            yield from _objects(value, objects, f"{place}{{}}")
    elif isinstance(written, Mapping):
        assert not any(isinstance(value, Mapping) for value in written.values()), f"{place} is not documented"


def assert_holds(written: Any, given: Any, left_out: Collection[str] = (), more: Collection[str] = ()) -> None:
    """JSON has every field of a data class and of those inside it under its name, and beside them properties alone.

    Args:
        written: what was read from JSON.
        given: what it was written from.
        left_out: fields that JSON does not have, as ``Class.name``.
        more: keys that are no fields, as ``Class.name``.
    """
    if dataclasses.is_dataclass(given):
        kind = type(given).__name__
        fields = {field.name for field in dataclasses.fields(given)} - _of(kind, left_out)
        assert fields <= written.keys(), f"{kind}: JSON lacks {fields - written.keys()}"
        for name in written.keys() - _of(kind, more):
            assert_holds(written[name], getattr(given, name), left_out, more)
    elif isinstance(given, Mapping):
        assert list(written) == [str(name) for name in given]
        for name, value in given.items():
            assert_holds(written[str(name)], value, left_out, more)
    elif isinstance(given, (tuple, list)):
        for item, value in zip(written, given, strict=True):
            assert_holds(item, value, left_out, more)
    elif isinstance(given, float) and not math.isfinite(given):
        assert written == str(given)
    else:
        assert (type(written), written) == (type(given), given)


def _of(kind: str, names: Collection[str]) -> set[str]:
    return {name.removeprefix(f"{kind}.") for name in names if name.startswith(f"{kind}.")}


def never_set(given: Any) -> set[str]:
    """Fields that are None, zero or empty in every instance in a report, as ``Class.name``."""
    values: dict[str, list[Any]] = {}
    for name, value in _fields(given):
        values.setdefault(name, []).append(value)
    return {name for name, found in values.items() if not any(found)}


def _fields(given: Any) -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(given):
        for field in dataclasses.fields(given):
            value = getattr(given, field.name)
            yield f"{type(given).__name__}.{field.name}", value
            yield from _fields(value)
    elif isinstance(given, (tuple, list, Mapping)):
        for item in given.values() if isinstance(given, Mapping) else given:
            yield from _fields(item)
