"""Arguments of calibrate and quantize, held together before a file is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.calibration.modelopt.options import refuse_unfit_modelopt
from attnexport.errors import InputError, did_you_mean
from attnexport.files.dtype_names import precision_called
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.messages import option
from attnexport.targets import Target, find_target

METHODS = ("minmax", "percentile", "entropy", "mse")
"""How a range is chosen from the values that were seen."""

AWQ = "awq"
"""Clips weights of four bits by what they do to the activations; ModelOpt's."""

UNFINISHED = ".unfinished"
"""Ends the name of what a calibration that was stopped leaves beside its output."""

BACKENDS = ("onnxruntime", "modelopt")
"""Whose ranges and rounded weights are written."""

OPSETS = {"int8": 13, "fp8": 19, "int8-weights": 13, "int4-weights": 21}
"""The least one that has the types of each scheme."""

SCHEME_NAMES = tuple(OPSETS)
"""What a file can be quantized to."""

BLOCKED = ("int4-weights",)
"""Schemes whose scales are by blocks."""

WEIGHTS_ALONE = "-weights"
"""Ends the names of schemes that leave activations as they are, and need no data."""

KEPT_NAMES = ("fp32", "fp16", "bf16")
"""What a layer that is not quantized can be computed in."""


def refuse_unfit_calibration(
    model: Path, *, data: str | os.PathLike[str] | None, method: str, samples: int | None
) -> None:
    """Refuses arguments of :func:`attnexport.calibrate` that cannot be used.

    Raises:
        InputError: naming the argument or the file.
    """
    check_onnx_file(model)
    _check_name(option("--method"), method, METHODS)
    if samples is not None and samples < 1:
        raise InputError(f"{option('--samples')}: expected at least 1, given {samples}")
    if data is not None:
        data_files(data)


def refuse_unfit_merge(data: str | os.PathLike[str] | None, merge: Sequence[str | os.PathLike[str]]) -> None:
    """Refuses a calibration without anything to make ranges of.

    Raises:
        InputError: naming the option or the file.
    """
    for file in merge:
        if not Path(file).is_file():
            raise InputError(f"{option('--merge')} {file}: no such file")
    if data is None and not merge:
        raise InputError(f"{option('--data')}: expected it, or files to {option('--merge')}, given neither")


def refuse_unfit_options(
    model: Path,
    *,
    to: str,
    method: str,
    samples: int | None,
    data: str | os.PathLike[str] | None,
    ranges: object,
    keep: Mapping[str, str],
    block: int | None = None,
    backend: str = BACKENDS[0],
    per_channel: bool = True,
    target: str | None = None,
) -> None:
    """Refuses arguments of :func:`attnexport.quantize` that cannot be used.

    Raises:
        InputError: naming the argument or the file.
    """
    refuse_unfit_calibration(model, data=data, method=METHODS[0] if method == AWQ else method, samples=samples)
    _check_name(option("--to"), to, SCHEME_NAMES)
    _check_name(option("--backend"), backend, BACKENDS)
    if backend == "modelopt":
        refuse_unfit_modelopt(to=to, method=method, data=data, ranges=ranges)
    elif method == AWQ:
        raise InputError(f"{option('--method', AWQ)}: expected {option('--backend', 'modelopt')}, given {backend}")
    if block is not None and to not in BLOCKED:
        raise InputError(f"{option('--block')}: expected {option('--to', BLOCKED[0])}, given {to}")
    if block is not None and block < 2:
        raise InputError(f"{option('--block')}: expected at least 2, given {block}")
    if not per_channel and (to in BLOCKED or backend == "modelopt"):
        other = to if to in BLOCKED else option("--backend", backend)
        raise InputError(f"{option('--per-tensor')}: expected weights of 8 bits and our own rounding, given {other}")
    if target is not None:
        refuse_unfit_target(to, find_target(target))
    for pattern, precision in keep.items():
        if precision:
            _check_name(f"{option('--keep')} {pattern}", precision, KEPT_NAMES)
    needed = needs_data(to) or method == AWQ
    given = [name for name, value in ((option("--data"), data), (option("--ranges"), ranges)) if value is not None]
    if needed and len(given) != 1:
        raise InputError(
            f"{option('--to', to)}: expected {option('--data')} or {option('--ranges')}, given "
            f"{'both' if given else 'neither'}"
        )
    if given and not needed:
        raise InputError(f"{given[0]}: {to} rounds weights alone and needs no data")
    if data is None:
        _refuse_without_data(method, samples, to, ranges)
    if isinstance(ranges, (str, os.PathLike)) and not Path(ranges).is_file():
        raise InputError(f"{ranges}: no such file")


def needs_data(name: str) -> bool:
    """Whether activations are rounded in what a file is quantized to, or a layer is tried in."""
    return name in SCHEME_NAMES and not name.endswith(WEIGHTS_ALONE)


def refuse_unfit_target(to: str, target: Target) -> None:
    """Refuses a scheme whose types a device or its TensorRT lacks.

    Raises:
        InputError: naming what it has.
    """
    precision, name = to.removesuffix(WEIGHTS_ALONE), option("--target", target.name)
    if to not in BLOCKED and precision not in target.precisions:
        raise InputError(f"{name}: expected {', '.join(target.precisions)}, given {to}")
    if OPSETS[to] > target.highest_opset:
        raise InputError(f"{name}: it parses up to opset {target.highest_opset}, and {to} needs {OPSETS[to]}")


def named_types(keep: Mapping[str, str]) -> dict[str, str]:
    """The types by their names here, as fp16 for half; others as they are."""
    return {pattern: precision_called(written) or written for pattern, written in keep.items()}


def keep_option(texts: Sequence[str]) -> dict[str, str]:
    """``PATTERN=TYPE`` as types by pattern; the type is empty where none is given.

    Raises:
        InputError: a text without a pattern.
    """
    kept = {}
    for text in texts:
        pattern, _, precision = text.partition("=")
        if not pattern:
            raise InputError(f"{option('--keep')} {text}: expected PATTERN or PATTERN=TYPE, as blocks.0.*=fp16")
        kept[pattern] = precision
    return named_types(kept)


def _refuse_without_data(method: str, samples: int | None, to: str, ranges: object) -> None:
    """Refuses what says how data is run where none is; a method beside ranges must be theirs."""
    given = option("--to", to) if ranges is None else option("--ranges")
    if samples is not None:
        raise InputError(f"{option('--samples')}: expected {option('--data')} to run, given {given}")
    if ranges is None and method != METHODS[0]:
        raise InputError(f"{option('--method')}: expected {option('--data')} to run, given {given}")


def _check_name(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise InputError(f"{name}: expected {', '.join(known)}, given {given}{did_you_mean(given, known)}")
