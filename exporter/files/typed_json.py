"""JSON that was written from data classes, read back as them: every value of its type, or refused by its place."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

_WORDS = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false", dict: "an object", list: "a list"}  # fmt: skip  # noqa: E501


class Unbounded(float):
    """A number that may also be nan, inf or -inf, which reports write as texts."""


_UNBOUNDED = ("nan", "inf", "-inf")


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON in UTF-8, or nests too deeply.
    """
    return parsed(path.read_text(encoding="utf-8"))


def parsed(text: str) -> Any:
    """What JSON holds, without NaN and infinities, which are none of it.

    Raises:
        ValueError: no JSON, or too deeply nested.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("expected JSON, given one that nests too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON: {error}") from None


def typed(kind: Any, given: Any, place: str = "") -> Any:
    """What was read from JSON as the type that it was written from.

    Args:
        kind: a data class, str, int, float, Unbounded, bool, or a tuple[…, ...], Mapping or dict by text, or … | None,
            of these. Of a data class whose ``other_keys_are_ignored`` is true there may be further keys.
        given: the value.
        place: of it, for messages.

    Raises:
        ValueError: a value of another type, a missing or unknown key, or a number that is not finite.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _instance(kind, _checked(dict, given, place), place)
    if origin is UnionType:
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return None if given is None else typed(other, given, place)
    if origin is tuple:
        values = enumerate(_checked(list, given, place))
        return tuple(typed(arguments[0], value, f"{place}[{index}]") for index, value in values)
    if origin in (dict, Mapping):
        entries = _checked(dict, given, place).items()
        return {name: typed(arguments[1], value, _below(place, name)) for name, value in entries}
    if kind is Unbounded:
        return float(given) if given in _UNBOUNDED else typed(float, given, place)
    if kind is float and type(given) is int and abs(given) < 1 << 1000:
        return float(given)
    return _checked(kind, given, place)


def _instance(kind: Any, given: Mapping[str, Any], place: str) -> Any:
    hints, fields = get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}
    if getattr(kind, "other_keys_are_ignored", False):
        given = {name: value for name, value in given.items() if name in fields}
    for name in given:
        if name not in fields:
            raise ValueError(f"{_below(place, name)}: no such key is known")
    for name, field in fields.items():
        if name not in given and field.default is dataclasses.MISSING:
            raise ValueError(f"{_below(place, name)}: expected {_word(hints[name])}, given none")
    return kind(**{name: typed(hints[name], value, _below(place, name)) for name, value in given.items()})


def _checked(kind: Any, given: Any, place: str) -> Any:
    if type(given) is not kind or (kind is float and not math.isfinite(given)):
        said = json.dumps(given)
        raise ValueError(f"{place or 'the whole'}: expected {_word(kind)}, given {said[:80]}")
    return given


def _word(kind: Any) -> str:
    return _WORDS.get(kind, "a value")


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"expected finite numbers, given {name}")
