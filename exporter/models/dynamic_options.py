"""The option --dynamic: texts become torch.export's dynamic_shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.export import Dim

from attnexport.errors import InputError
from attnexport.models.input_options import InputOption
from attnexport.models.loading.dim_texts import FORMS, HINTS, dim_of, limits_missed, root_of, root_size

_AXIS = re.compile(r"(?P<axis>\d{1,2})=(?P<name>[^\[\]]+?)(?:\[(?P<low>\d{1,9})\.\.(?P<high>\d{1,9})?\])?")


@dataclass(frozen=True)
class _WrittenDim:
    """A dim of --dynamic: ``batch``, ``2*n`` or ``AUTO``, and the range of its name."""

    text: str
    limits: tuple[int, int | None] | None

    @property
    def root(self) -> str:
        """The name that the formula is of, empty for AUTO and DYNAMIC."""
        return "" if self.text in HINTS else root_of(self.text) or ""


def parse_dynamic(texts: Sequence[str], inputs: Mapping[str, InputOption]) -> dict[str, dict[int, Any]] | None:
    """The --dynamic options as torch.export's dynamic_shapes, with one torch Dim for each name.

    Args:
        texts: such as ``x:0=batch,1=2*tokens[2..512]`` or ``x:0=AUTO``. The range is that of the name, may be open
            (``[2..]``) and may stand at any use of it.
        inputs: from parse_inputs.

    Returns:
        {input: {axis: Dim}} with an entry for every input, or None without options.

    Raises:
        InputError: a text of another form, an input that --inputs does not give, an axis that it does not have
            or that is given twice, two ranges for one name, or an example outside its range or its formula.
    """
    if not texts:
        return None
    written = {name: _parse_axes(text, inputs) for name, text in _dynamic_by_input(texts, inputs).items()}
    ranges: dict[str, tuple[int, int | None]] = {}
    for axes in written.values():
        for dim in axes.values():
            if dim.root and dim.limits is not None and ranges.setdefault(dim.root, dim.limits) != dim.limits:
                raise InputError(f"--dynamic: {dim.root} has two different ranges")
    roots: dict[str, Any] = {}
    for name, axes in written.items():
        for axis, dim in axes.items():
            limits = ranges.get(dim.root, (None, None))
            _check_size(f"--dynamic {name}:{axis}={dim.text}", dim, inputs[name].shape[axis], limits)
            if dim.root:
                roots.setdefault(dim.root, Dim(dim.root, min=limits[0], max=limits[1]))
    return {name: {axis: _torch_dim(dim, roots) for axis, dim in written.get(name, {}).items()} for name in inputs}


def _torch_dim(dim: _WrittenDim, roots: Mapping[str, Any]) -> Any:
    if dim.root:
        return dim_of(dim.text, roots[dim.root])
    hint = HINTS[dim.text]
    return hint if dim.limits is None else hint(min=dim.limits[0], max=dim.limits[1])


def _check_size(option: str, dim: _WrittenDim, size: int, limits: tuple[int | None, int | None]) -> None:
    root = root_size(dim.text, size) if dim.root else size
    if root is None:
        raise InputError(f"{option}: is {size} in the example, which no {dim.root} makes")
    missed = limits_missed(root, *limits)
    if missed is not None:
        raise InputError(f"{option}: expected {missed}, --inputs gives {root}")


def _dynamic_by_input(texts: Sequence[str], inputs: Mapping[str, InputOption]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, colon, axes = text.strip().partition(":")
        if not colon or not axes:
            raise InputError(f"--dynamic {text}: expected name:AXIS=DIM,... such as x:0=batch,1=tokens[2..512]")
        if name not in inputs:
            raise InputError(
                f"--dynamic {text}: no --inputs is given for {name!r}; there is {', '.join(inputs) or 'none'}"
            )
        if name in found:
            raise InputError(f"--dynamic {text}: {name} is given twice; put its axes into one option")
        found[name] = text.strip()
    return found


def _parse_axes(text: str, inputs: Mapping[str, InputOption]) -> dict[int, _WrittenDim]:
    name, _, written = text.partition(":")
    shape = inputs[name].shape
    axes: dict[int, _WrittenDim] = {}
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
        limits = None
        if match["low"] is not None:
            limits = (int(match["low"]), int(match["high"]) if match["high"] else None)
            if limits[1] is not None and limits[0] >= limits[1]:
                raise InputError(f"--dynamic {text}: expected a range with LOW below HIGH, given {part!r}")
        axes[axis] = _WrittenDim(match["name"].strip(), limits)
    return axes
