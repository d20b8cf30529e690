"""TensorRT 10.3 to 11.x through its Python bindings: engines for the GPU of this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from attnexport.backends.tensorrt_bindings import BindingsBuilder
from attnexport.backends.tensorrt_engine import BindingsBackend
from attnexport.errors import BackendError

_MODULE, _PRODUCT = "tensorrt", "TensorRT"
_OLDEST = (10, 3)


def is_usable() -> bool:
    """Whether bindings of a TensorRT that this module knows are installed."""
    if importlib.util.find_spec(_MODULE) is None:
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
        super().__init__(_MODULE, _PRODUCT)
        if tuple(int(number) for number in self.version.split(".")[:2]) < _OLDEST:
            raise BackendError(f"{_PRODUCT}: expected 10.3 or later for backend {_MODULE}, given {self.version}")


class TensorRtBackend(BindingsBackend):
    """An engine of TensorRT on the GPU of this machine.

    Args:
        path: the engine.
        plugins: the plugin library of its nodes. Default: None, the engine carries it or needs none.
        allow_host_code: run a plugin library that is inside the engine: only for engines you trust. Default: False.

    Raises:
        BackendError: no GPU, or an engine that does not open.
    """

    def __init__(self, path: Path, plugins: Path | None = None, *, allow_host_code: bool = False) -> None:
        super().__init__(path, _MODULE, _PRODUCT, plugins, allow_host_code=allow_host_code)
