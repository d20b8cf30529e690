"""Arguments of tune, held together before a file is read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from attnexport.accuracy.errors.metric_names import split_metric
from attnexport.accuracy.inputs.data_files import data_files
from attnexport.calibration.options import SCHEME_NAMES, refuse_unfit_calibration
from attnexport.errors import InputError, did_you_mean
from attnexport.files.dtype_names import precision_called
from attnexport.messages import option
from attnexport.targets import find_target

HALF = "fp16"
"""The candidate that rounds nothing to a grid: the layer computes in half, between casts."""

CANDIDATE_NAMES = (*SCHEME_NAMES, HALF)
"""What a layer can be tried in."""

TRAFFIC, SIZE = "traffic", "size"
COSTS = (TRAFFIC, SIZE)
"""What is cheap where nothing is timed: few bytes that are read for a row of data, or a small file."""


def refuse_unfit_tuning(
    model: Path,
    *,
    data: str | os.PathLike[str],
    metrics: Sequence[str],
    max_drop: float | None,
    max_error: float | None,
    candidates: Sequence[str] | None,
    cost: str,
    calibration: str | os.PathLike[str] | None,
    ranges: object,
    method: str,
    samples: int | None,
    target: str | None,
    plugins: str | os.PathLike[str] | None,
) -> None:
    """Refuses arguments of :func:`attnexport.tune` that cannot be used, or not together.

    Raises:
        InputError: naming the argument or the file.
    """
    refuse_unfit_calibration(model, data=None, method=method, samples=samples)
    if calibration is not None and ranges is not None:
        raise InputError(f"{option('--ranges')}: expected in place of {option('--calibration')}, given both")
    data_files(data)
    if calibration is not None:
        data_files(calibration, option("--calibration"))
    for name in metrics:
        split_metric(name)
    if (max_drop is None) == bool(metrics):
        raise InputError(f"{option('--max-drop')}: expected together with {option('--metric')}, given one of them")
    if max_drop is None and max_error is None:
        wanted = f"{option('--max-drop')} with {option('--metric')}, {option('--max-error')} or all of them"
        raise InputError(f"bounds: expected {wanted}, given none")
    for name, bound in ((option("--max-drop"), max_drop), (option("--max-error"), max_error)):
        if bound is not None and not (0 <= bound < math.inf):
            raise InputError(f"{name}: expected 0 or more, given {bound:g}")
    if cost not in COSTS:
        raise InputError(f"{option('--cost')}: expected {', '.join(COSTS)}, given {cost}{did_you_mean(cost, COSTS)}")
    if candidates is not None:
        _check_candidates(candidates)
    if isinstance(ranges, (str, os.PathLike)) and not Path(ranges).is_file():
        raise InputError(f"{ranges}: no such file")
    if target is not None:
        find_target(target)
    if plugins is not None and target is None:
        raise InputError(f"{option('--plugins')}: expected beside {option('--target')}, given without")
    if plugins is not None and not Path(plugins).is_file():
        raise InputError(f"{plugins}: no such file")


def candidate_names(text: str) -> tuple[str, ...]:
    """``int8,half`` as names of CANDIDATE_NAMES where they are some, others as they are."""
    return tuple(precision_called(name) or name for name in text.split(","))


def _check_candidates(names: Sequence[str]) -> None:
    for name in names:
        if name not in CANDIDATE_NAMES:
            known = ", ".join(CANDIDATE_NAMES)
            raise InputError(
                f"{option('--candidates')}: expected {known}, given {name}{did_you_mean(name, CANDIDATE_NAMES)}"
            )
    if len(set(names)) < len(names) or not names:
        raise InputError(f"{option('--candidates')}: expected each once and at least one, given {', '.join(names)}")
