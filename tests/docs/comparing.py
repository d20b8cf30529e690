"""Whether what a command printed is what a page shows: words equal, any number for any number."""

from __future__ import annotations

import re

OMITTED = ("…", "...")
"""A shown line that stands for any lines."""

_HASH = re.compile(r"(?<![\w.])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,64}(?![\w.])")
# Not the digits of a name, as in fp16, output_0 or blocks.1.attention.
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,.]*(?<=\d)(?:[ \u202f]\d{3})*(?:e[-+−]?\d+)?")
_RULE = re.compile(r"([─━=_-])\1{2,}")
_BAR = re.compile(r"[█▇▆▅▄▃▂▁▏▎▍▌▋▊▉]+")


def same(shown: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are those shown, numbers, hashes and widths aside."""
    return _fits(_patterns(shown), _patterns(printed))


def _patterns(lines: list[str]) -> list[str]:
    patterns = [_pattern(line) for line in lines]
    return [pattern for pattern in patterns if pattern]


def _pattern(line: str) -> str:
    if line.strip() in OMITTED:
        return OMITTED[0]
    line = _NUMBER.sub("0", _HASH.sub("hash", line))
    line = _BAR.sub("█", _RULE.sub(r"\1", line))
    return " ".join(line.split())


def _fits(shown: list[str], printed: list[str]) -> bool:
    if not shown:
        return not printed
    if shown[0] == OMITTED[0]:
        return any(_fits(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and _fits(shown[1:], printed[1:])
