"""The proof of a patch: with the variant's neutral setting the model is what it was."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from attnexport.errors import ConversionError, InputError
from attnexport.patching.layers import patched_layers, without_cores
from attnexport.patching.protocol import core_of

MOST = 1e-9
"""Of the largest output: what float64 leaves of a model with many layers, and no wrong mask or head stays below."""


def neutral_error(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """How far a patched model with the neutral setting is from the original in float64, a share of the largest output.

    Both run on a copy, so that twice the weights in float64 are held.

    Raises:
        InputError: the model is not patched, its variant has no neutral setting, or it cannot run on the inputs.
        ConversionError: an output that is off by more than 1e-9.
    """
    layers = patched_layers(model)
    if not layers:
        raise InputError("model: expected a patched one, found no layer that attnexport.patch changed")
    cores = [core_of(layer) for layer in layers.values()]
    for core in cores:
        if core.no_neutral:
            raise InputError(f"{core.layer}: no neutral setting to prove it with: {core.no_neutral}")
    double = copy.deepcopy(model).double().eval()
    args, kwargs = pytree.tree_map_only(Tensor, _in_double, (tuple(args), dict(kwargs)))
    for layer in patched_layers(double).values():
        core_of(layer).is_neutral = True
    found = _outputs(double, args, kwargs)
    without_cores(double)
    expected = _outputs(double, args, kwargs)
    worst = max(map(_off, found, expected), default=0.0)
    if len(found) != len(expected) or not worst <= MOST:
        raise ConversionError(
            f"the patched model with the neutral setting is off the original by {worst:.1e} of the largest output, "
            f"expected at most {MOST:.0e}: a mask or scale of the model is not what the layers were given"
        )
    return worst


def _in_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _outputs(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    with torch.no_grad(), _without_fast_paths():
        returned = model(*copy.deepcopy(args), **copy.deepcopy(dict(kwargs)))
    leaves = pytree.tree_leaves(returned)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


@contextlib.contextmanager
def _without_fast_paths() -> Iterator[None]:
    """Those of torch's transformer layers cut off padding, where outputs mean nothing, rather than compute it."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _off(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return math.inf
    if not expected.numel():
        return 0.0
    largest, off = float(expected.abs().max()), float((found - expected).abs().max())
    error = off / largest if largest else off
    return error if math.isfinite(error) else math.inf
