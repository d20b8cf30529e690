"""CUDA kernels and TensorRT plugins of attnexport: building libraries of them, and calling those from PyTorch.

Names are imported when first used, so that ``attnexport plugins --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnexport.plugins.acceleration import KernelWarning as KernelWarning
    from attnexport.plugins.acceleration import use as use
    from attnexport.plugins.acceleration import using as using
    from attnexport.plugins.building import build as build
    from attnexport.plugins.library import Library as Library
    from attnexport.plugins.library import load_library as load_library
    from attnexport.plugins.torch_calls import run_op as run_op

_HOME = {
    "KernelWarning": "acceleration",
    "Library": "library",
    "build": "building",
    "load_library": "library",
    "run_op": "torch_calls",
    "use": "acceleration",
    "using": "acceleration",
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
