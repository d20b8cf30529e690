"""What ModelOpt can be asked for, held before a file is read."""

from __future__ import annotations

import importlib.util

from attnexport.errors import InputError
from attnexport.messages import option

NEAREST = "minmax"
"""The method that rounds weights of four bits by their largest magnitudes, without data."""
METHODS_BY_SCHEME = {"int8": ("minmax", "entropy"), "fp8": ("minmax", "entropy"), "int4-weights": (NEAREST, "awq")}


def refuse_unfit_modelopt(*, to: str, method: str, data: object, ranges: object) -> None:
    """Refuses what ModelOpt cannot make, and a machine without it.

    Raises:
        InputError: naming the option, or the command that installs it.
    """
    backend = option("--backend", "modelopt")
    if to not in METHODS_BY_SCHEME:
        raise InputError(f"{backend}: expected {option('--to')} {', '.join(METHODS_BY_SCHEME)}, given {to}")
    methods = METHODS_BY_SCHEME[to]
    if method not in methods:
        raise InputError(f"{backend}: expected {option('--method')} {' or '.join(methods)} for {to}, given {method}")
    if ranges is not None:
        raise InputError(f"{option('--ranges')}: {backend} finds ranges itself, from {option('--data')}")
    if data is None and (to, method) != ("int4-weights", NEAREST):
        raise InputError(f"{backend}: expected {option('--data')} for {to} by {method}, given none")
    if importlib.util.find_spec("modelopt") is None:
        raise InputError(f"{backend}: NVIDIA ModelOpt is not installed; pip install 'attnexport[modelopt]' brings it")
