"""The option --inputs, read without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from attnexport.errors import InputError, did_you_mean
from attnexport.files.dtype_names import dtype_called
from attnexport.models.identifiers import is_identifier

_DTYPES = ("f64", "f32", "f16", "bf16", "i64", "i32", "i8", "u8", "bool")

_FORM = "expected name=SIZESxSIZE:DTYPE such as x=2x197x384:f32 or tokens=2x64:i64[0,96)"
_INPUT = re.compile(r"(?P<name>[^=]+)=(?P<shape>[0-9x]*)(?::(?P<dtype>\w+)(?P<range>\[.*)?)?")
_RANGE = re.compile(r"\[\s*(-?\d{1,19})\s*,\s*(-?\d{1,19})\s*([)\]])")
_MAX_ELEMENTS = 2**32


@dataclass(frozen=True)
class WrittenInput:
    """One --inputs option.

    Attributes:
        name, shape: of the tensor.
        dtype: as torch calls it, float32.
        low, high: the values of an integer input are low, ..., high - 1; unused for floats.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: int
    high: int


def parse_inputs(texts: Sequence[str]) -> dict[str, WrittenInput]:
    """The --inputs options by input name, in their order.

    Args:
        texts: such as ``x=2x197x384:f32``. The dtype (f64 f32 f16 bf16 i64 i32 i8 u8 bool, or any other name of one,
            as float32, half and long) defaults to f32, no sizes make a scalar, and integers may carry a range
            ``[0,96)`` or ``[0,95]``. Default: ``[0,2)``.

    Raises:
        InputError: a text of another form, an unknown dtype, a range that is empty or does not fit the dtype, or a
            name given twice.
    """
    parsed: dict[str, WrittenInput] = {}
    for text in texts:
        option = _parse_input(text)
        if option.name in parsed:
            raise InputError(f"--inputs {text}: {option.name} is given twice")
        parsed[option.name] = option
    return parsed


def _parse_input(text: str) -> WrittenInput:
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--inputs {text}: {_FORM}")
    name, written = match["name"].strip(), match["dtype"] or "f32"
    if not is_identifier(name):
        raise InputError(f"--inputs {text}: {name!r} is not the name of an argument of forward")
    dtype = dtype_called(written)
    if dtype is None or dtype not in map(dtype_called, _DTYPES):
        said = f"--inputs {text}: expected a dtype of {', '.join(_DTYPES)}, given {written}"
        raise InputError(f"{said}{did_you_mean(written, _DTYPES)}")
    sizes = match["shape"].split("x") if match["shape"] else []
    if not all(size.isdecimal() and int(size) < 2**31 for size in sizes):
        raise InputError(f"--inputs {text}: expected sizes with x between them, given {match['shape']!r}")
    shape = tuple(map(int, sizes))
    if math.prod(shape) > _MAX_ELEMENTS:
        raise InputError(f"--inputs {text}: {math.prod(shape)} elements are too many for an example")
    low, high = _range_of(text, match["range"], dtype)
    return WrittenInput(name, shape, dtype, low, high)


def _range_of(text: str, written: str | None, dtype: str) -> tuple[int, int]:
    if written is None:
        return 0, 2
    if "int" not in dtype:
        raise InputError(f"--inputs {text}: a range is for integers, given one for {dtype}")
    match = _RANGE.fullmatch(written)
    if match is None:
        raise InputError(f"--inputs {text}: expected a range such as [0,96) or [0,95], given {written}")
    low, high = int(match[1]), int(match[2]) + (match[3] == "]")
    least, most = _limits(dtype)
    if not least <= low < high <= most + (dtype != "int64"):
        raise InputError(
            f"--inputs {text}: expected a range that is not empty, from {least} to {most}, given {written}"
        )
    return low, high


def _limits(dtype: str) -> tuple[int, int]:
    """The smallest and the largest whole number of a type, as int8 or uint8."""
    bits = int(dtype.lstrip("uint"))
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
