"""Names from files: letters stay, what a terminal, a log or a build server would obey does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnexport.errors import InputError
from attnexport.printable import LONGEST, LONGEST_WORD, printable, printable_line


@pytest.mark.parametrize(
    "name", ["größe", "层.0", "Ωμέγα", "بنية", "blocks.3/attention[0]", "a b", "attnexport::Krause"]
)
def test_letters_of_every_script_stay(name: str):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("a\nattnexport: within", r"a\nattnexport: within"),
        ("a\rb\tc\x00", r"a\rb\tc\x00"),
        ("a\x9b31mb", r"a\x9b31mb"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u200bb\ufeff\u2066", r"a\u200bb\ufeff\u2066"),
        ("a\u3164\u115fb", r"a\u3164\u115fb"),
        ("a\ud800b", r"a\ud800b"),
        ("a\U000e0041b", r"a\U000e0041b"),
        ("::error file=a::pwned", r"\x3a:error file=a::pwned"),
        ("x ::stop-commands::t", r"x \x3a:stop-commands::t"),
        ("folded::Error::t", r"folded\x3a:Error::t"),
        ("##[error]x ##vso[task.x]", r"\x23#[error]x \x23#vso[task.x]"),
    ],
)
def test_what_would_be_obeyed_is_spelled(name: str, shown: str):
    assert printable(name) == shown


def test_long_names_lose_their_middle():
    assert printable("a" * LONGEST_WORD) == "a" * LONGEST_WORD
    shown = printable("a" * 10**6 + "b")
    assert len(shown) == LONGEST_WORD + 1
    assert shown.startswith("aaa")
    assert shown.endswith("ab")
    assert len(printable("ab " * 10**5)) == LONGEST + 1


@given(st.text(st.characters(codec=None)))
def test_every_text_becomes_one_printable_line(text: str):
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert printable(shown) == shown


def test_messages_keep_their_words_apart():
    assert printable_line(" two\n\n lines\x1b ") == r"two lines\x1b"


def test_errors_are_escaped_wherever_they_are_shown():
    assert str(InputError("a\x1b[2J\nattnexport: all is well")) == r"a\x1b[2J attnexport: all is well"
