"""Names from files on their way to people: one function that leaves nothing in them which a terminal or log obeys."""

from __future__ import annotations

import re

LONGEST_WORD = 400
"""Characters of a run without spaces that are shown; longer ones lose their middle."""

LONGEST = 4000
"""Characters of a text that are shown."""

# Characters that Unicode counts as printable and that show nothing, or change what is beside them.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
_KNOWN_ORDERS = (
    "add-mask|add-matcher|add-path|debug|echo|endgroup|error|group|notice|remove-matcher|save-state|set-env|"
    "set-output|stop-commands|warning"
)
# What the logs of GitHub, Azure and TeamCity take for orders to themselves: ::error::, ##[error], ##vso[. Those that
# are known, within words too, where a folded line may begin.
_ORDERS = re.compile(rf":(:(?:(?<!\w::)[a-z][\w-]*|(?:{_KNOWN_ORDERS}))(?:\s[^:]*)?::)|#(#\w*\[)", re.IGNORECASE)


def printable(text: str) -> str:
    """A text in which every character shows itself and nothing else.

    Letters of every script stay. Control characters, line breaks and tabs, format characters such as bidirectional
    overrides, lone surrogates and spaces other than the plain one become escapes as Python writes them; very long
    words and texts are shortened.
    """
    if not text.isprintable() or _INVISIBLE.search(text):
        text = "".join(char if char.isprintable() and not _INVISIBLE.match(char) else _escape(char) for char in text)
    text = _ORDERS.sub(_disarmed, text)
    if len(text) > LONGEST_WORD:
        text = _WORD.sub(lambda word: _shortened(word[0], LONGEST_WORD), text)
    return _shortened(text, LONGEST)


def printable_line(text: str) -> str:
    """A message on one line: white space becomes single spaces, the rest is as of :func:`printable`."""
    return printable(" ".join(text.split()))


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _disarmed(order: re.Match[str]) -> str:
    return rf"\x3a{order[1]}" if order[1] else rf"\x23{order[2]}"


def _shortened(text: str, longest: int) -> str:
    kept = longest // 2
    return text if len(text) <= longest else f"{text[:kept]}…{text[-kept:]}"
