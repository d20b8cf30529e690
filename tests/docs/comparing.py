"""Whether what a command printed is what a page shows: words equal, any number for any number."""

from __future__ import annotations

import re

OMITTED = ("…", "...")
"""A shown line that stands for any lines."""

_HASH = re.compile(r"(?<![\w.])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,64}(?![\w.])")
# Not the digits of a name, as in fp16, output_0 or blocks.1.attention.
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,.]*(?<=\d)(?:[ \u202f]\d{3})*(?:e[-+−]?\d+)?")
_RULE = re.compile(r"([─━=_-])\1{2,}")


def same(shown: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are those shown, numbers, hashes, and where lines are folded aside."""
    kept: list[list[str]] = [[]]
    for line in shown:
        if line.strip() in OMITTED:
            kept.append([])
        else:
            kept[-1].append(line)
    return re.fullmatch(r".*".join(re.escape(_pattern(lines)) for lines in kept), _pattern(printed)) is not None


def _pattern(lines: list[str]) -> str:
    """The words, with one number and one rule for all."""
    text = _NUMBER.sub("0", _HASH.sub("hash", "\n".join(lines)))
    return " ".join(_RULE.sub(r"\1", text).split())
