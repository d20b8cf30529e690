"""The commands of a console block, each with what is shown below it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command of a console.

    Attributes:
        line: of its first line in the block, from 0.
        text: what is typed, its continued lines joined.
        shown: the lines below it.
        last: one after its last line, where what is shown begins.
    """

    line: int
    text: str
    shown: list[str]
    last: int


def console_commands(code: str, prompt: str = "$ ", continued: str = "> ") -> list[Command]:
    """What a console or Python session shows: typed lines begin with a prompt, the rest is printed.

    Raises:
        ValueError: the first line is no command.
    """
    lines = code.rstrip("\n").split("\n")
    commands: list[Command] = []
    at = 0
    while at < len(lines):
        if not lines[at].startswith(prompt):
            raise ValueError(f"expected {prompt!r} at the beginning of {lines[at]!r}")
        first, typed = at, [lines[at].removeprefix(prompt)]
        at += 1
        while at < len(lines) and (lines[at].startswith(continued) or typed[-1].endswith("\\")):
            typed.append(lines[at].removeprefix(continued))
            at += 1
        last = at
        while at < len(lines) and not lines[at].startswith(prompt):
            at += 1
        commands.append(Command(first, "\n".join(typed), lines[last:at], last))
    return commands
