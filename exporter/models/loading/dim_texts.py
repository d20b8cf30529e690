"""Dims as people write them: ``batch``, ``2*n``, ``n+1``, ``AUTO``."""

from __future__ import annotations

import re

from attnexport.models.identifiers import is_identifier

HINTS = ("AUTO", "DYNAMIC", "STATIC")
"""What torch calls dims that need no name."""

FORMULA = re.compile(
    r"\s*(?:(?P<factor>[0-9]{1,9})\s*\*\s*)?(?P<name>[^\W\d]\w*)(?:\s*(?P<sign>[+-])\s*(?P<offset>[0-9]{1,9}))?\s*"
)
_LONGEST = 100
FORMS = "a name (letters, digits and _), 2*name, name+1 or AUTO"


def root_of(text: str) -> str | None:
    """The name in ``2*n+1``; None where the text has another form."""
    match = FORMULA.fullmatch(text)
    return match["name"] if match and is_identifier(match["name"]) else None


def root_size(text: str, size: int) -> int | None:
    """The size that the formula's name needs for the formula to have this one; None where there is none."""
    match = FORMULA.fullmatch(text)
    if match is None:
        return None
    factor, offset = int(match["factor"] or 1), int(match["offset"] or 0)
    scaled = size - (offset if match["sign"] != "-" else -offset)
    return scaled // factor if factor and scaled % factor == 0 else None


def symbol_named(expression: str, name: str) -> tuple[str, str] | None:
    """Torch's symbol in ``2*s0`` and the name in ``2*n``, where both are the same formula."""
    symbols = set(re.findall(r"[^\W\d]\w*", expression))
    root = root_of(name)
    if root is None or len(symbols) != 1:
        return None
    symbol = symbols.pop()
    written = re.sub(rf"\b{symbol}\b", lambda match: root, expression)
    return (symbol, root) if "".join(written.split()) == "".join(name.split()) else None


def limits_missed(size: int, low: int | None, high: int | None) -> str | None:
    """What a dim may be, as ``2 to 9`` or ``2 or more``, where a size is outside of that; None where it is within."""
    lowest = low or 0
    if lowest <= size and (high is None or size <= high):
        return None
    return f"{lowest} or more" if high is None else f"{lowest} to {high}"


def is_dim_name(text: object) -> bool:
    """Whether a text is what a named or derived dim is called, as ``n`` or ``2*n+1``."""
    if not isinstance(text, str) or len(text) > _LONGEST or text != text.strip():
        return False
    return FORMULA.fullmatch(text) is not None
