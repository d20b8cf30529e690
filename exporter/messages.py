"""How messages call options, which are arguments from Python, and how they count things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ARGUMENTS = {
    "--arch": "architectures",
    "--dynamic": "dynamic_shapes",
    "--for": "models",
    "--metric": "metrics",
    "--model": "factory",
    "--n": "sizes",
    "--per-tensor": "per_channel=False",
    "--time": "repeats",
}
"""Arguments that are not called as their option is."""

_to_the_command_line: ContextVar[bool] = ContextVar("_to_the_command_line", default=False)


@contextmanager
def to_the_command_line() -> Iterator[None]:
    """Messages made in the block are read by somebody who gave options, not arguments."""
    before = _to_the_command_line.set(True)
    try:
        yield
    finally:
        _to_the_command_line.reset(before)


def option(name: str, value: object = None) -> str:
    """What a message calls an option: ``--weights-key`` on the command line, ``weights_key`` from Python.

    Args:
        name: as on the command line, ``--weights-key``.
        value: to be shown with it, as ``--opset 22`` and ``opset=22``; True for a flag, ``--bisect`` and
            ``bisect=True``. Default: None, the name alone.
    """
    if _to_the_command_line.get():
        return name if value is None or value is True else f"{name} {value}"
    argument = _ARGUMENTS.get(name) or name.removeprefix("--").replace("-", "_")
    if value is None:
        return argument
    return f'{argument}="{value}"' if isinstance(value, str) else f"{argument}={value}"


def together(texts: Iterable[str]) -> str:
    """Several options that are given at once: blanks between them on the command line, commas in Python."""
    return (" " if _to_the_command_line.get() else ", ").join(texts)


def count(amount: int, noun: str) -> str:
    """An amount of things, as ``1 batch`` and ``1,200 layers``."""
    several = f"{noun}es" if noun.endswith(("s", "x", "ch")) else f"{noun}s"
    return f"{amount:,} {noun if amount == 1 else several}"


def named(kind: str, name: str) -> str:
    """A thing of a kind, as ``output logits``, and ``output`` alone where that is its name."""
    return kind if name == kind else f"{kind} {name}"
