"""Small checkers for parsed JSON: each returns a rebuilt value that holds nothing but what was checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from attnexport.models.identifiers import is_identifier

Check = Callable[[Any], Any]

MAX_TEXT = 4096
_FLOAT_WORDS = ("Infinity", "-Infinity", "NaN")
_FQN_PART = re.compile(r"[\w \-+:@/]{1,256}")
_PLAIN_TEXT = re.compile(r"[\w \-+:@/.,*()<>=\[\]]{0,256}")


class Refusal(Exception):
    """Something in the file that is not on the allow-list; `where` is its place, outermost part first."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(reason, where)
        self.reason = reason
        self.where = where

    def under(self, part: str) -> Refusal:
        return Refusal(self.reason, part + self.where)

    def __str__(self) -> str:
        return f"{self.reason} (at {self.where.lstrip('.')})" if self.where else self.reason


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def shown(value: object) -> str:
    """A value of the file as text for a message: quoted, on one line, not longer than 80 characters."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def at(part: str, check: Check, value: object) -> Any:
    try:
        return check(value)
    except Refusal as refusal:
        raise refusal.under(part) from None


def record(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """A JSON object with these fields. Fields of other names never reach torch: they are dropped."""
    fields = {**required, **(optional or {})}

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refusal(f"expected an object, given {shown(value)}")
        for name in required:
            if name not in value:
                raise Refusal(f"the field {name!r} is missing")
        return {name: at(f".{name}", fields[name], value[name]) for name in fields if name in value}

    return check


def union(**tags: Check) -> Check:
    """A JSON object with exactly one field, which must be one of these."""

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1:
            raise Refusal(f"expected an object with one field, given {shown(value)}")
        ((tag, inner),) = value.items()
        if tag not in tags:
            raise Refusal(f"a value of the kind {shown(tag)} is not supported")
        return {tag: at(f".{tag}", tags[tag], inner)}

    return check


def list_of(item: Check) -> Check:
    def check(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise Refusal(f"expected a list, given {shown(value)}")
        return [at(f"[{index}]", item, entry) for index, entry in enumerate(value)]

    return check


def dict_of(key: Check, item: Check) -> Check:
    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refusal(f"expected an object, given {shown(value)}")
        return {at("", key, name): at(f"[{shown(name)}]", item, entry) for name, entry in value.items()}

    return check


def optional(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


def integer(value: object) -> int:
    if type(value) is not int or abs(value) >= 2**64:
        raise Refusal(f"expected an integer, given {shown(value)}")
    return value


def number(value: object) -> float | str:
    if type(value) is float or type(value) is int or value in _FLOAT_WORDS:
        return value
    raise Refusal(f"expected a number, given {shown(value)}")


def boolean(value: object) -> bool:
    if type(value) is not bool:
        raise Refusal(f"expected true or false, given {shown(value)}")
    return value


def text(value: object) -> str:
    """Free text, for places where torch quotes it (repr) or only shows it."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Refusal(f"expected a text of at most {MAX_TEXT} characters, given {shown(value)}")
    return value


def plain_text(value: object) -> str:
    """Text without quotes, backslashes or control characters, for places where torch pastes it into code."""
    if not isinstance(value, str) or not _PLAIN_TEXT.fullmatch(value):
        raise Refusal(f"{shown(value)} holds characters that could end up as Python code")
    return value


def identifier(value: object) -> str:
    """A name that torch pastes into generated Python source as it stands."""
    if not is_identifier(value):
        raise Refusal(f"{shown(value)} is not a plain name, and torch would run it as Python code")
    return str(value)


def identifier_or_empty(value: object) -> str:
    return "" if value == "" else identifier(value)


def attribute_path(value: object) -> str:
    """The dotted path of a parameter, buffer or submodule, such as ``layers.0.weight``."""
    parts = value.split(".") if isinstance(value, str) else [""]
    for part in parts:
        if not _FQN_PART.fullmatch(part) or (part.startswith("__") and part.endswith("__")):
            raise Refusal(f"{shown(value)} is not the path of a parameter, buffer or submodule")
    return str(value)


def attribute_path_or_empty(value: object) -> str:
    return "" if value == "" else attribute_path(value)


def one_of(*allowed: object) -> Check:
    def check(value: object) -> object:
        if not any(type(value) is type(entry) and value == entry for entry in allowed):
            raise Refusal(f"{shown(value)} is not one of {', '.join(map(str, allowed))}")
        return value

    return check
