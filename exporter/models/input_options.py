"""The option --inputs: texts become example tensors, which are bound to a module or checked against a program."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attnexport.errors import InputError
from attnexport.files.arrays import dtype_name
from attnexport.files.fitting import clash, fits
from attnexport.messages import option
from attnexport.models.audit.shapes import is_identifier
from attnexport.models.examples import generator
from attnexport.models.loading.dim_texts import limits_missed
from attnexport.models.model import Model

DTYPES = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "i32": torch.int32,
    "i8": torch.int8,
    "u8": torch.uint8,
    "bool": torch.bool,
}
_FORM = "expected name=SIZESxSIZE:DTYPE such as x=2x197x384:f32 or tokens=2x64:i64[0,96)"
_INPUT = re.compile(r"(?P<name>[^=]+)=(?P<shape>[0-9x]*)(?::(?P<dtype>\w+)(?P<range>\[.*)?)?")
_RANGE = re.compile(r"\[\s*(-?\d{1,19})\s*,\s*(-?\d{1,19})\s*([)\]])")
_MAX_ELEMENTS = 2**32


@dataclass(frozen=True)
class InputOption:
    """One --inputs option.

    Attributes:
        name, shape, dtype: of the tensor.
        low, high: the values of an integer input are low, ..., high - 1; unused for floats.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    low: int
    high: int

    def tensor(self, random: torch.Generator) -> Tensor:
        """Floats are standard normal, integers uniform in their range, booleans fair coins."""
        if self.dtype.is_floating_point:
            return torch.randn(self.shape, generator=random, dtype=torch.float32).to(self.dtype)
        return torch.randint(self.low, self.high, self.shape, generator=random).to(self.dtype)


def parse_inputs(texts: Sequence[str]) -> dict[str, InputOption]:
    """The --inputs options by input name, in their order.

    Args:
        texts: such as ``x=2x197x384:f32``. The dtype (f64 f32 f16 bf16 i64 i32 i8 u8 bool) defaults to f32, no
            sizes make a scalar, and integers may carry a range ``[0,96)`` or ``[0,95]``. Default: ``[0,2)``.

    Raises:
        InputError: a text of another form, an unknown dtype, a range that is empty or does not fit the dtype, or a
            name given twice.
    """
    parsed: dict[str, InputOption] = {}
    for text in texts:
        found = _parse_input(text)
        if found.name in parsed:
            raise InputError(f"--inputs {text}: {found.name} is given twice")
        parsed[found.name] = found
    return parsed


def _parse_input(text: str) -> InputOption:
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--inputs {text}: {_FORM}")
    name, dtype_name = match["name"].strip(), match["dtype"] or "f32"
    if not is_identifier(name):
        raise InputError(f"--inputs {text}: {name!r} is not the name of an argument of forward")
    if dtype_name not in DTYPES:
        raise InputError(f"--inputs {text}: expected a dtype of {', '.join(DTYPES)}, given {dtype_name}")
    dtype = DTYPES[dtype_name]
    sizes = match["shape"].split("x") if match["shape"] else []
    if not all(size.isdecimal() and int(size) < 2**31 for size in sizes):
        raise InputError(f"--inputs {text}: expected sizes with x between them, given {match['shape']!r}")
    shape = tuple(map(int, sizes))
    if torch.Size(shape).numel() > _MAX_ELEMENTS:
        raise InputError(f"--inputs {text}: {torch.Size(shape).numel()} elements are too many for an example")
    low, high = _range_of(text, match["range"], dtype)
    return InputOption(name, shape, dtype, low, high)


def _range_of(text: str, written: str | None, dtype: torch.dtype) -> tuple[int, int]:
    if written is None:
        return 0, 2
    if dtype.is_floating_point or dtype == torch.bool:
        raise InputError(f"--inputs {text}: a range is for integers, given one for {dtype_name(dtype)}")
    match = _RANGE.fullmatch(written)
    if match is None:
        raise InputError(f"--inputs {text}: expected a range such as [0,96) or [0,95], given {written}")
    low, high = int(match[1]), int(match[2]) + (match[3] == "]")
    limits = torch.iinfo(dtype)
    if not limits.min <= low < high <= limits.max + (dtype != torch.int64):
        raise InputError(
            f"--inputs {text}: expected a range that is not empty, from {limits.min} to {limits.max}, given {written}"
        )
    return low, high


def example_tensors(options: Mapping[str, InputOption], seed: int = 0) -> dict[str, Tensor]:
    """Example tensors by input name; equal options and seeds give equal tensors."""
    random = generator(seed)
    return {name: entry.tensor(random) for name, entry in options.items()}


def bind_inputs(module: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Places named tensors into the arguments of the module's forward.

    Positional arguments go by position as far as they are given without a gap, so that programs have plain
    positional inputs; the rest go by name.

    Returns:
        args and kwargs of a call.

    Raises:
        InputError: a name that forward does not have, or an argument without a default that is missing.
    """
    parameters = inspect.signature(module.forward).parameters
    kinds = inspect.Parameter
    wanted = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    }
    takes_any = any(parameter.kind is kinds.VAR_KEYWORD for parameter in parameters.values())
    for name in tensors:
        if name not in wanted and not takes_any:
            taken = f"it takes {', '.join(wanted)}"
            raise InputError(f"{option('--inputs')} {name}: the model's forward has no such input; {taken}")
    missing = [name for name, entry in wanted.items() if entry.default is kinds.empty and name not in tensors]
    if missing:
        given = ", ".join(tensors) or "none"
        raise InputError(
            f"{option('--inputs')}: the model's forward needs {', '.join(missing)}, given {given}: "
            f"add {option('--inputs')} {missing[0]}=SIZESxSIZE:DTYPE"
        )
    args: list[Tensor] = []
    kwargs = dict(tensors)
    for name, parameter in wanted.items():
        if parameter.kind is kinds.KEYWORD_ONLY or name not in tensors:
            break
        args.append(kwargs.pop(name))
    return tuple(args), kwargs


def check_inputs(model: Model, given: Mapping[str, Tensor]) -> None:
    """Checks tensors against the inputs of a model: names, dtypes, ranks, fixed and dynamic sizes.

    Args:
        model: the model.
        given: tensors by input name.

    Raises:
        InputError: as ``--inputs x: expected (batch, 64, 8) float32, given (2, 63, 8) float32``.
    """
    specs = {spec.name: spec for spec in model.inputs}
    unknown = [name for name in given if name not in specs]
    if unknown:
        raise InputError(f"{option('--inputs')} {unknown[0]}: the model has no such input; it takes {', '.join(specs)}")
    missing = [name for name in specs if name not in given]
    if missing:
        raise InputError(f"{option('--inputs')}: the model also needs {missing[0]}: {specs[missing[0]]}")
    wanted = {name: [model.size_name(spec, axis) for axis in range(len(spec.shape))] for name, spec in specs.items()}
    limits = {dim.symbol: dim for dim in model.dims}
    for name, spec in specs.items():
        tensor = given[name]
        if not fits(spec.shape, tensor.shape) or tensor.dtype != spec.dtype:
            raise InputError(
                f"{option('--inputs')} {name}: expected ({', '.join(wanted[name])}) {dtype_name(spec.dtype)}, "
                f"given ({', '.join(map(str, tensor.shape))}) {dtype_name(tensor.dtype)}"
            )
        for axis, (symbol, real) in enumerate(zip(spec.shape, tensor.shape, strict=True)):
            limit = limits.get(str(symbol))
            missed = None if limit is None else limits_missed(real, limit.lower, limit.upper)
            if missed is not None:
                raise InputError(
                    f"{option('--inputs')} {name}: {wanted[name][axis]} (axis {axis}): expected {missed}, given {real}"
                )
    found = clash((name, spec.shape, given[name].shape) for name, spec in specs.items())
    if found is not None:
        raise InputError(
            f"{option('--inputs')} {found.input}: {wanted[found.input][found.axis]} (axis {found.axis}) is "
            f"{found.size}, but {found.first_size} in {found.first_input} axis {found.first_axis}"
        )
