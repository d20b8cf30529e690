"""How large a number and how long a formula arithmetic on sizes can make, known before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from attnexport.models.audit.shapes import Refusal

MAX_BITS = 4096
MAX_TERMS = 1000
MAX_PARTS = 4000
MAX_EXPONENT = 64


@dataclass(frozen=True)
class Bound:
    """An upper bound on a value and on the formula that gives it.

    Attributes:
        bits: of its largest magnitude.
        terms: of the sum that it is, multiplied out.
        parts: numbers, names and operations in it, each as often as it stands there when written in full.
        value: the number itself where it is written out, None where it is known only later.
    """

    bits: int
    terms: int
    parts: int
    value: float | None = None

    def __post_init__(self) -> None:
        if self.bits > MAX_BITS or self.terms > MAX_TERMS or self.parts > MAX_PARTS:
            raise Refusal(
                f"arithmetic on sizes that could make a number of over {MAX_BITS} bits or a formula of over "
                f"{MAX_TERMS} terms: re-export the model with simpler sizes"
            )


A_SIZE = Bound(bits=64, terms=1, parts=1)
"""A size, or another number that the program reads from a tensor."""


def number(value: float) -> Bound:
    return Bound(_bits(value), 1, 1, value)


def added(operands: Sequence[Bound]) -> Bound:
    """The bound of a sum or difference."""
    bits = _largest(operands) + len(operands).bit_length()
    return Bound(bits, sum(operand.terms for operand in operands), _parts(operands))


def multiplied(operands: Sequence[Bound]) -> Bound:
    bits = sum(operand.bits for operand in operands)
    return Bound(bits, math.prod(operand.terms for operand in operands), _parts(operands))


def raised(base: Bound, exponent: Bound) -> Bound:
    """The bound of a power, whose exponent must be written out."""
    power = exponent.value
    if power is None or not abs(power) <= MAX_EXPONENT:
        raise Refusal(
            f"a power of a size whose exponent is not a number from -{MAX_EXPONENT} to {MAX_EXPONENT}: "
            "re-export the model with simpler sizes"
        )
    times = max(1, math.ceil(abs(power)))
    terms = base.terms**times if power == times else 1
    return Bound(base.bits * times, terms, _parts([base, exponent]))


def shifted(base: Bound, places: Bound) -> Bound:
    """The bound of a shift to the left or right, whose width must be written out."""
    if places.value is None or not 0 <= places.value <= MAX_EXPONENT:
        raise Refusal(f"a shift of a size by other than 0 to {MAX_EXPONENT} places: re-export with simpler sizes")
    return Bound(base.bits + int(places.value), base.terms, _parts([base, places]))


def rounded(operands: Sequence[Bound]) -> Bound:
    """The bound of a number rounded to some digits, which must be written out."""
    if any(digits.value is None or not abs(digits.value) <= MAX_EXPONENT for digits in operands[1:]):
        raise Refusal("a size rounded to a number of digits that is not written out: re-export with simpler sizes")
    return anything_of(operands)


def anything_of(operands: Sequence[Bound]) -> Bound:
    """The bound of what is no larger than its operands: a quotient, a remainder, a minimum, a condition."""
    return Bound(_largest(operands), 1, _parts(operands))


def _largest(operands: Sequence[Bound]) -> int:
    return max((operand.bits for operand in operands), default=1)


def _parts(operands: Sequence[Bound]) -> int:
    return 1 + sum(operand.parts for operand in operands)


def _bits(value: float) -> int:
    if isinstance(value, int):
        return value.bit_length()
    return int(value).bit_length() if math.isfinite(value) else 1
