"""Lets the torch operators call a plugin library instead of their references.

The library is the one given to :func:`use`, else the file that $ATTNEXPORT_PLUGIN_LIBRARY names, else the one that
``attnexport plugins build`` writes without ``-o``. Whatever a library does not cover goes through the reference, with
a warning once a process for each reason; float64 does so silently, for it is what the reference is for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attnexport.errors import InputError
from attnexport.plugins.building.locations import LIBRARY_VARIABLE, default_library, is_ones_own
from attnexport.plugins.calling.accelerator import Accelerator, warn
from attnexport.plugins.calling.library import Library, load_library
from attnexport.variants.registry import all_variants
from attnexport.variants.spec import Variant


@dataclass
class _Choice:
    """Which accelerator is in use: chosen, or searched for once."""

    searched: bool = False
    accelerator: Accelerator | None = None


_choice = _Choice()


def use(library: str | os.PathLike[str] | Library | None, *, device_type: str = "cuda") -> None:
    """Chooses the library that the operators call, from now on.

    Args:
        library: its path or an open one; None for none, so that every operator runs its reference.
        device_type: of the tensors that go to it. Default: "cuda".

    Raises:
        InputError: no plugin library there, or one of another ABI.
    """
    _choice.accelerator = None if library is None else Accelerator(_opened(library), device_type)
    _choice.searched = True


@contextlib.contextmanager
def using(library: str | os.PathLike[str] | Library | None, *, device_type: str = "cuda") -> Iterator[None]:
    """As :func:`use`, until the block ends.

    Raises:
        InputError: no plugin library there, or one of another ABI.
    """
    before = _choice.searched, _choice.accelerator
    use(library, device_type=device_type)
    try:
        yield
    finally:
        _choice.searched, _choice.accelerator = before


def accelerate(operator: str, args: Sequence[Any]) -> Tensor | None:
    """What an operator asks before it runs its reference.

    Args:
        operator: qualified name of the torch operator.
        args: its positional arguments.

    Returns:
        The result, or None where the reference must compute it.
    """
    first = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
    accelerator = _choice.accelerator
    if accelerator is None and not _choice.searched and first.device.type == "cuda":
        accelerator = _search()
    if accelerator is None or first.device.type != accelerator.device_type:
        return None
    return accelerator.run(_variant(operator), args)


def _search() -> Accelerator | None:
    _choice.searched = True
    named = os.environ.get(LIBRARY_VARIABLE)
    path = Path(named) if named else default_library()
    if path is not None and not named and not is_ones_own(path):
        warn(f"{path} is not opened: others than its user can change it")
        return None
    if path is None:
        warn("no plugin library found; attnexport plugins build --api none builds one")
        return None
    try:
        _choice.accelerator = Accelerator(_opened(path))
    except InputError as error:
        warn(str(error))
    return _choice.accelerator


def _opened(library: str | os.PathLike[str] | Library) -> Library:
    return library if isinstance(library, Library) else load_library(library)


def _variant(operator: str) -> Variant:
    return next(variant for variant in all_variants() if variant.torch_name == operator)
