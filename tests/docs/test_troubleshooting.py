"""docs/troubleshooting.md has an entry for each message that a user can meet, and for none that there is not."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from tests.docs.messages import HOLE, Message, command_line_messages, native_messages, python_messages, python_texts

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
FEWEST_LETTERS = 6
"""Of a message that can be looked up: what is shorter is filled in by another message."""

TELLING_LETTERS = 24
"""Of an entry, where it has less than half of a message's words."""

CAUGHT = {"Expecting a layer, given …"}
"""Not shown: attnexport catches them itself."""


@dataclass(frozen=True)
class Entry:
    """A message on the page, in which … is for what is filled in and for words that are left out."""

    text: str
    letters: int
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, line: str) -> Entry:
        pattern = ".*".join(re.escape(part.strip()) for part in line.split(HOLE))
        return cls(line, _letters(line), re.compile(pattern))

    def is_of(self, message: Message) -> bool:
        """Whether it has the message's words, enough of them to be found by."""
        if self.pattern.fullmatch(message.text) is None:
            return False
        begin = self.text.split(HOLE)[0].removeprefix("expected")
        return _letters(begin) >= FEWEST_LETTERS or self.letters >= min(message.letters / 2, TELLING_LETTERS)


def _letters(text: str) -> int:
    return sum(letter.isalpha() for letter in text)


@functools.cache
def entries() -> tuple[Entry, ...]:
    """The items of the page's lists."""
    return tuple(map(Entry.of, re.findall(r"^- `(.*)`$", PAGE.read_text(), re.MULTILINE)))


@functools.cache
def messages() -> tuple[Message, ...]:
    """What the sources say, as far as it can be looked up."""
    return tuple(
        message
        for message in (*python_messages(), *native_messages(), *command_line_messages())
        if message.letters >= FEWEST_LETTERS and message.text not in CAUGHT
    )


def test_every_message_has_an_entry():
    missing = [f"{found.place}: {found.text}" for found in messages() if not any(it.is_of(found) for it in entries())]
    assert not missing, "no entry in docs/troubleshooting.md for:\n" + "\n".join(missing)


def test_every_entry_is_of_a_message():
    doubted = [it for it in entries() if it.letters and not any(it.is_of(found) for found in messages())]
    texts = python_texts() if doubted else []
    stale = [it.text for it in doubted if not any(it.is_of(found) for found in texts)]
    assert not stale, "no message in the sources for:\n" + "\n".join(stale)


def test_no_entry_is_there_twice():
    texts = [it.text for it in entries()]
    assert sorted(set(texts)) == sorted(texts)


def test_every_entry_is_followed_by_advice():
    after = re.findall(r"^- `(.*)`\n\n(.*)", PAGE.read_text(), re.MULTILINE)
    assert after
    assert [entry for entry, advice in after if advice.startswith(("- `", "#"))] == []
