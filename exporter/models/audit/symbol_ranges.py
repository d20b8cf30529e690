"""The ranges that a program gives to its dynamic sizes."""

from __future__ import annotations

import re
from typing import Any

from attnexport.models.audit.shapes import Refusal, dict_of, identifier, integer, optional, record, shown

_FORMULA = re.compile(r"(?=.*[^\w])[\w *+\-/()%,]{1,200}")
_UNBACKED = re.compile(r"(u|zuf)[0-9]{1,5}")

_range_of_symbol = record({"min_val": optional(integer), "max_val": optional(integer)})


def symbol_ranges(value: object) -> dict[str, Any]:
    """Ranges of symbols, checked. Those of formulas (``2*s0``) follow from them, and torch trips over them: dropped.

    Raises:
        Refusal: something else.
    """
    if not isinstance(value, dict):
        raise Refusal(f"expected an object, given {shown(value)}")
    symbols = {name: entry for name, entry in value.items() if not _FORMULA.fullmatch(name)}
    checked: dict[str, Any] = dict_of(_range_key, _range_of_symbol)(symbols)
    return checked


def _range_key(value: object) -> str:
    name = identifier(value)
    if name.startswith(("u", "zuf")) and not _UNBACKED.fullmatch(name):
        raise Refusal(f"{shown(name)} is not the number of a dynamic size, and torch counts up to it")
    return name
