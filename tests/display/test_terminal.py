"""What a stream can show follows from the stream and the environment: width, colours, signs."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest

from attnexport.display.terminal import Style, terminal_of


@pytest.fixture
def on_a_terminal() -> Iterator[TextIO]:
    """A stream to a terminal of 93 columns."""
    leader, follower = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 93, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        yield stream
    os.close(leader)


def log(encoding: str = "utf-8") -> TextIO:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def test_a_terminal_has_its_own_width_and_colours(on_a_terminal: TextIO):
    found = terminal_of(on_a_terminal, {"TERM": "xterm"})
    assert (found.width, found.colored, found.live, found.drawn) == (93, True, True, True)


def test_columns_sets_the_width_of_a_terminal_and_of_a_log(on_a_terminal: TextIO):
    assert terminal_of(on_a_terminal, {"COLUMNS": "60"}).width == 60
    assert terminal_of(log(), {"COLUMNS": "60"}).width == 60


@pytest.mark.parametrize("said", ["", "0", "wide", "-3", "²"])
def test_columns_that_are_no_number_are_none(said: str):
    assert terminal_of(log(), {"COLUMNS": said}).width == 120


def test_a_log_has_120_columns_and_no_colours():
    found = terminal_of(log(), {"TERM": "xterm"})
    assert (found.width, found.colored, found.live, found.drawn) == (120, False, False, True)
    assert terminal_of(log(), {"FORCE_COLOR": "1"}).colored


def test_no_color_takes_colours_away_and_an_empty_one_does_not(on_a_terminal: TextIO):
    assert not terminal_of(on_a_terminal, {"NO_COLOR": "1"}).colored
    assert not terminal_of(log(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}).colored
    assert terminal_of(on_a_terminal, {"NO_COLOR": ""}).colored
    assert terminal_of(on_a_terminal, {"NO_COLOR": "1"}).live


def test_a_dumb_terminal_is_written_on_like_a_log_of_its_width(on_a_terminal: TextIO):
    found = terminal_of(on_a_terminal, {"TERM": "dumb"})
    assert (found.width, found.colored, found.live, found.drawn) == (93, False, False, False)
    assert found.text("größer … als −1") == "größer ... als -1"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "σ² ≤ ½ … 出力 ä"),
        ("latin-1", r"sigma² <= ½ ... \u51fa\u529b ä"),
        ("ascii", r"sigma^2 <= 1/2 ... \u51fa\u529b \xe4"),
    ],
)
def test_what_an_encoding_lacks_becomes_ascii(encoding: str, shown: str):
    found = terminal_of(log(encoding), {})
    assert found.text("σ² ≤ ½ … 出力 ä") == shown
    assert found.rule(3) == ("───" if encoding == "utf-8" else "---")


def test_nothing_that_a_terminal_obeys_is_shown():
    assert terminal_of(log(), {}).text("a\x1b[2J\nb") == r"a\x1b[2J\nb"


def test_styles_are_escapes_around_a_text_that_is_there(on_a_terminal: TextIO):
    found = terminal_of(on_a_terminal, {})
    assert found.styled("OUTSIDE", Style.BAD) == "\x1b[1;31mOUTSIDE\x1b[0m"
    assert found.styled("", Style.BAD) == ""
    assert terminal_of(log(), {}).styled("OUTSIDE", Style.BAD) == "OUTSIDE"


def test_a_stream_that_is_closed_or_none_at_all_has_the_width_of_a_log():
    closed = log()
    closed.close()
    assert terminal_of(closed, {}).width == terminal_of(None, {}).width == 120
