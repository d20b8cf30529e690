"""How many cells of a terminal a text takes."""

from __future__ import annotations

import unicodedata

# Vowels and final consonants of Hangul, which join the syllable before them.
_JOINING = range(0x1160, 0x1200)


def cells(text: str) -> int:
    """Two for each wide character of East Asia, none for marks upon the one before, one for all others."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def padded(text: str, width: int) -> str:
    """The text with spaces behind it."""
    return text + " " * (width - cells(text))


def clipped(text: str, width: int) -> str:
    """As much of the beginning as takes that many cells."""
    taken = 0
    for position, char in enumerate(text):
        taken += _cells_of(char)
        if taken > width:
            return text[:position]
    return text


def _cells_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me") or ord(char) in _JOINING:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
