"""Builds engines of TensorRT 10.3 to 11.x through its Python bindings, for the GPU of this machine."""

from __future__ import annotations

import importlib.util

from attnexport.backends.tensorrt_bindings import BindingsBuilder
from attnexport.errors import BackendError

_OLDEST = (10, 3)


def is_usable() -> bool:
    """Whether bindings of a TensorRT that this module knows are installed."""
    if importlib.util.find_spec("tensorrt") is None:
        return False
    try:
        TensorRtBuilder()
    except BackendError:
        return False
    return True


class TensorRtBuilder(BindingsBuilder):
    """Builds engines of TensorRT.

    Raises:
        BackendError: the package tensorrt is not installed, does not load or is older than 10.3.
    """

    def __init__(self) -> None:
        super().__init__("tensorrt", "TensorRT")
        if tuple(int(number) for number in self.version.split(".")[:2]) < _OLDEST:
            raise BackendError(f"TensorRT: expected 10.3 or later for backend tensorrt, given {self.version}")
