"""CUDA kernels and TensorRT plugins of attnexport: building libraries of them, and calling those from PyTorch.

Names are imported when first used, so that ``attnexport plugins --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnexport.plugins.building.libraries import build as build
    from attnexport.plugins.calling.acceleration import use as use
    from attnexport.plugins.calling.acceleration import using as using
    from attnexport.plugins.calling.accelerator import KernelWarning as KernelWarning
    from attnexport.plugins.calling.library import Library as Library
    from attnexport.plugins.calling.library import load_library as load_library
    from attnexport.plugins.calling.torch_calls import run_op as run_op

_HOME = {
    "KernelWarning": "calling.accelerator",
    "Library": "calling.library",
    "build": "building.libraries",
    "load_library": "calling.library",
    "run_op": "calling.torch_calls",
    "use": "calling.acceleration",
    "using": "calling.acceleration",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attnexport.plugins' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"attnexport.plugins.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
