"""Error of one tensor inside a model, held to the budget of an output."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attnexport.accuracy.check.budget import Budget
from attnexport.accuracy.check.findings import LayerError
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.diagnosis.bisect.taps import Tap
from attnexport.accuracy.errors.sums import ErrorSums

_CHUNK = 1 << 18
"""Elements that are compared at once, so that float64 copies stay small."""


def layer_error(
    tap: Tap,
    given: NDArray[Any],
    plain: NDArray[Any],
    exact: torch.Tensor,
    floor: float,
    override: Override | None = None,
) -> LayerError:
    """Errors of one tap.

    Args:
        tap: which.
        given, plain: its value in the file, and in PyTorch at the file's precision.
        exact: its value in float64. Elements that are not finite in it are left out.
        floor: share of max|exact| that is always allowed.
        override: what is allowed in place of the rule. Default: None.
    """
    if given.shape != plain.shape:
        wrong = f"expected shape {plain.shape}, given {given.shape}"
        return LayerError(tap.module, tap.op, tap.tensor, np.inf, np.inf, Budget(0.0, 0.0), wrong_shape=wrong)
    ours, torchs = finite_errors(given, exact), finite_errors(plain, exact)
    return LayerError(
        layer=tap.module,
        op=tap.op,
        tensor=tap.tensor,
        largest_error=ours.largest_error,
        relative_l2=ours.relative_l2,
        budget=Budget(torchs.largest_error, floor * torchs.largest_reference, override),
        not_finite=ours.not_finite,
    )


def finite_errors(given: NDArray[Any], exact: torch.Tensor) -> ErrorSums:
    """Errors where the exact value is finite."""
    sums, flat = ErrorSums(), exact.detach().reshape(-1)
    for start in range(0, flat.numel(), _CHUNK):
        part = slice(start, start + _CHUNK)
        wanted = flat[part].double().numpy()
        finite = np.isfinite(wanted)
        sums.add(given.reshape(-1)[part][finite], wanted[finite])
    return sums
