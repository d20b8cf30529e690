"""Dims as people write them become torch's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.export import Dim

from attnexport.models.dynamic_texts import WrittenDim, WrittenDims
from attnexport.models.loading.dim_texts import FORMULA

HINTS = {"AUTO": Dim.AUTO, "DYNAMIC": Dim.DYNAMIC, "STATIC": Dim.STATIC}
"""What torch calls dims that need no name."""


def dim_of(text: str, root: Any) -> Any:
    """The torch Dim of a formula. root: the Dim of its name."""
    match = FORMULA.fullmatch(text)
    assert match is not None
    dim = root if match["factor"] in (None, "1") else int(match["factor"]) * root
    offset = int(match["offset"] or 0)
    if offset == 0:
        return dim
    return dim + offset if match["sign"] == "+" else dim - offset


def torch_dims(written: WrittenDims | None) -> dict[str, dict[int, Any]] | None:
    """The dims of --dynamic as torch.export's dynamic_shapes, with one torch Dim for each name; None for None."""
    if written is None:
        return None
    dims = [dim for axes in written.values() for dim in axes.values() if dim.root]
    roots = {dim.root: Dim(dim.root, **_limits(dim)) for dim in dims}
    return {name: {axis: _torch_dim(dim, roots) for axis, dim in axes.items()} for name, axes in written.items()}


def _torch_dim(dim: WrittenDim, roots: Mapping[str, Any]) -> Any:
    if dim.root:
        return dim_of(dim.text, roots[dim.root])
    hint = HINTS[dim.text]
    return hint if dim.limits is None else hint(**_limits(dim))


def _limits(dim: WrittenDim) -> dict[str, int | None]:
    low, high = dim.limits or (None, None)
    return {"min": low, "max": high}
