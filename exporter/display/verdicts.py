"""The last line of a command: one that scripts look for, and the first that people read."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from attnexport.display.terminal import Style, Terminal
from attnexport.printable import printable_line


class Outcome(enum.Enum):
    """The word that the line begins with."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    """The command's exit code is 1."""
    WARNED = "WARNED"
    """Would have failed, and the command was told to say so only."""
    UNJUDGED = "UNJUDGED"
    """Nothing was held to a budget."""
    WROTE = "WROTE"
    RAN = "RAN"
    FOUND = "FOUND"
    """Nothing was written or judged."""


_STYLES = {Outcome.PASSED: Style.GOOD, Outcome.FAILED: Style.BAD, Outcome.WARNED: Style.BAD}


@dataclass(frozen=True)
class Verdict:
    """What came out, as ``PASSED model.onnx: 38 % of its budget``.

    Attributes:
        outcome: the first word.
        subject: what it is about.
        said: the rest.
    """

    outcome: Outcome
    subject: str
    said: str

    def __str__(self) -> str:
        return printable_line(f"{self.outcome.value} {self.subject}: {self.said}")

    def line(self, terminal: Terminal) -> str:
        """The line, which no width breaks."""
        word, _, rest = terminal.text(str(self)).partition(" ")
        return f"{terminal.styled(word, _STYLES.get(self.outcome, Style.STRONG))} {rest}"
