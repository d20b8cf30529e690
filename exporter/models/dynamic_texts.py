"""The option --dynamic, read and held to the example inputs without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from attnexport.errors import InputError, did_you_mean
from attnexport.models.input_texts import WrittenInput
from attnexport.models.loading.dim_texts import FORMS, HINTS, limits_missed, root_of, root_size

_AXIS = re.compile(r"(?P<axis>\d{1,2})=(?P<name>[^\[\]]+?)(?:\[(?P<low>\d{1,9})\.\.(?P<high>\d{1,9})?\])?")


Limits = tuple[int | None, int | None]
"""Of a dim, the least and the largest size; None for no limit of its own."""


@dataclass(frozen=True)
class WrittenDim:
    """A dim of --dynamic.

    Attributes:
        text: ``batch``, ``2*n`` or ``AUTO``.
        limits: the range of its name, or None where none is written.
    """

    text: str
    limits: Limits | None

    @property
    def root(self) -> str:
        """The name that the formula is of, empty for AUTO and DYNAMIC."""
        return "" if self.text in HINTS else root_of(self.text) or ""


WrittenDims = dict[str, dict[int, WrittenDim]]
"""{input: {axis: dim}}, with an entry for every input."""


def parse_dynamic(texts: Sequence[str], inputs: Mapping[str, WrittenInput]) -> WrittenDims | None:
    """The --dynamic options; dims of one name have one range, wherever it was written.

    Args:
        texts: such as ``x:0=batch,1=2*tokens[2..512]`` or ``x:0=AUTO``. The range is that of the name, may be open
            (``[2..]``) and may stand at any use of it.
        inputs: from parse_inputs.

    Returns:
        The dims, or None without options.

    Raises:
        InputError: a text of another form, an input that --inputs does not give, an axis that it does not have
            or that is given twice, two ranges for one name, or an example outside its range or its formula.
    """
    if not texts:
        return None
    written = {name: _parse_axes(text, inputs) for name, text in _dynamic_by_input(texts, inputs).items()}
    ranges: dict[str, Limits] = {}
    for axes in written.values():
        for dim in axes.values():
            if dim.root and dim.limits is not None and ranges.setdefault(dim.root, dim.limits) != dim.limits:
                raise InputError(f"--dynamic: {dim.root} has two different ranges")
    for name, axes in written.items():
        for axis, dim in axes.items():
            axes[axis] = replace(dim, limits=ranges.get(dim.root)) if dim.root else dim
            _check_size(f"--dynamic {name}:{axis}={dim.text}", axes[axis], inputs[name].shape[axis])
    return {name: written.get(name, {}) for name in inputs}


def _check_size(option: str, dim: WrittenDim, size: int) -> None:
    root = root_size(dim.text, size) if dim.root else size
    if root is None:
        raise InputError(f"{option}: is {size} in the example, which no {dim.root} makes")
    low, high = (dim.limits if dim.root else None) or (None, None)
    missed = limits_missed(root, low, high)
    if missed is not None:
        raise InputError(f"{option}: expected {missed}, --inputs gives {root}")


def _dynamic_by_input(texts: Sequence[str], inputs: Mapping[str, WrittenInput]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, colon, axes = text.strip().partition(":")
        if not colon or not axes:
            raise InputError(f"--dynamic {text}: expected name:AXIS=DIM,... such as x:0=batch,1=tokens[2..512]")
        if name not in inputs:
            there = f"there is {', '.join(inputs) or 'none'}{did_you_mean(name, inputs)}"
            raise InputError(f"--dynamic {text}: no --inputs is given for {name!r}; {there}")
        if name in found:
            raise InputError(f"--dynamic {text}: {name} is given twice; put its axes into one option")
        found[name] = text.strip()
    return found


def _parse_axes(text: str, inputs: Mapping[str, WrittenInput]) -> dict[int, WrittenDim]:
    name, _, written = text.partition(":")
    shape = inputs[name].shape
    axes: dict[int, WrittenDim] = {}
    for part in written.split(","):
        match = _AXIS.fullmatch(part.strip())
        if match is None or root_of(match["name"]) is None:
            raise InputError(
                f"--dynamic {text}: expected AXIS=DIM or AXIS=DIM[LOW..HIGH] with {FORMS} as DIM, given {part!r}"
            )
        axis = int(match["axis"])
        if axis >= len(shape):
            raise InputError(f"--dynamic {text}: {name} has {len(shape)} dims, counted from 0; given axis {axis}")
        if axis in axes:
            raise InputError(f"--dynamic {text}: axis {axis} is given twice")
        limits: Limits | None = None
        if match["low"] is not None:
            limits = (int(match["low"]), int(match["high"]) if match["high"] else None)
            if limits[1] is not None and limits[0] >= limits[1]:
                raise InputError(f"--dynamic {text}: expected a range with LOW below HIGH, given {part!r}")
        axes[axis] = WrittenDim(match["name"].strip(), limits)
    return axes
