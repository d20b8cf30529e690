"""The libraries whose layers are known; a file is imported when the model has modules of its library."""

from __future__ import annotations

import importlib
from typing import cast

from torch import nn

from attnexport.patching.protocol import Recogniser

_FILES = {"torch": ("torch_layers", "TorchLayers")}
"""By library, the module below attnexport.patching and the class in it."""


def recognisers_for(model: nn.Module) -> list[Recogniser]:
    """Of the libraries that classes of the model come from, or derive from."""
    bases = {base for module in model.modules() for base in type(module).__mro__}
    used = {base.__module__.partition(".")[0] for base in bases}
    return [_recogniser(*_FILES[library]) for library in _FILES if library in used]


def _recogniser(file: str, name: str) -> Recogniser:
    return cast(Recogniser, getattr(importlib.import_module(f"attnexport.patching.{file}"), name)())
