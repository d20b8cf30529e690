"""Example inputs: made from the option --inputs, bound to a module or checked against a program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attnexport.errors import InputError, did_you_mean
from attnexport.files.arrays import dtype_name
from attnexport.files.fitting import clash, fits
from attnexport.messages import option
from attnexport.models.examples import generator
from attnexport.models.input_texts import WrittenInput
from attnexport.models.loading.dim_texts import limits_missed
from attnexport.models.model import Model


def example_tensors(written: Mapping[str, WrittenInput], seed: int = 0) -> dict[str, Tensor]:
    """Example tensors by input name; equal options and seeds give equal tensors."""
    random = generator(seed)
    return {name: _example(entry, random) for name, entry in written.items()}


def _example(written: WrittenInput, random: torch.Generator) -> Tensor:
    """Floats are standard normal, integers uniform in their range, booleans fair coins."""
    dtype = getattr(torch, written.dtype)
    if dtype.is_floating_point:
        return torch.randn(written.shape, generator=random, dtype=torch.float32).to(dtype)
    return torch.randint(written.low, written.high, written.shape, generator=random).to(dtype)


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
            said = f"{option('--inputs')} {name}: the model's forward has no such input; it takes {', '.join(wanted)}"
            raise InputError(f"{said}{did_you_mean(name, wanted)}")
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
        said = f"{option('--inputs')} {unknown[0]}: the model has no such input; it takes {', '.join(specs)}"
        raise InputError(f"{said}{did_you_mean(unknown[0], specs)}")
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
