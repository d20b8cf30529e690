"""Checks of options where they are given: each error is one line with the argument, what was expected and the given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real


def whole_number(name: str, value: object) -> int:
    """An int >= 1.

    Raises:
        ValueError: anything else, a bool too.
    """
    return _count(name, value, "an int >= 1")


def count_or_none(name: str, value: object) -> int | None:
    """None, or an int >= 1.

    Raises:
        ValueError: anything else, a bool too.
    """
    return None if value is None else _count(name, value, "None or an int >= 1")


def finite(name: str, value: object) -> float:
    """A number that is neither infinite nor NaN.

    Raises:
        ValueError: anything else, a bool too.
    """
    return _number(name, value, "a finite number", -math.inf, math.inf)


def finite_or_none(name: str, value: object) -> float | None:
    """None, or a number that is neither infinite nor NaN.

    Raises:
        ValueError: anything else, a bool too.
    """
    return None if value is None else _number(name, value, "None or a finite number", -math.inf, math.inf)


def positive(name: str, value: object) -> float:
    """A finite number > 0.

    Raises:
        ValueError: anything else, a bool too.
    """
    return _number(name, value, "a finite number > 0", math.ulp(0.0), math.inf)


def not_negative(name: str, value: object) -> float:
    """A finite number >= 0.

    Raises:
        ValueError: anything else, a bool too.
    """
    return _number(name, value, "a finite number >= 0", 0.0, math.inf)


def share(name: str, value: object) -> float:
    """A number from 0 to 1.

    Raises:
        ValueError: anything else, a bool too.
    """
    return _number(name, value, "a number from 0 to 1", 0.0, 1.0)


def flag(name: str, value: object) -> bool:
    """True or False.

    Raises:
        ValueError: anything else, 0 and 1 too.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected True or False, given {value!r}")
    return value


def choice(name: str, value: object, choices: Sequence[str]) -> str:
    """One of the choices.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, given {value!r}")
    return value


def _count(name: str, value: object, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}: expected {expected}, given {value!r}")
    return int(value)


def _number(name: str, value: object, expected: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}: expected {expected}, given {value!r}")
    number = float(value)
    if not math.isfinite(number) or not least <= number <= most:
        raise ValueError(f"{name}: expected {expected}, given {value!r}")
    return number
