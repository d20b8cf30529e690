"""Builds engines of TensorRT-RTX ahead of time, without a GPU, for RTX GPUs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from attnexport.backends.tensorrt_bindings import BindingsBuilder


class TensorRtRtxBuilder(BindingsBuilder):
    """Builds engines of TensorRT-RTX.

    Raises:
        BackendError: the package tensorrt_rtx is not installed or does not load.
    """

    def __init__(self) -> None:
        super().__init__("tensorrt_rtx", "TensorRT-RTX")

    def environment(self, folder: Path) -> dict[str, str]:
        """LD_LIBRARY_PATH with a folder that holds the library under the name that the ONNX parser opens.

        The wheel ships libtensorrt_rtx.so.1 alone, and its parser ends the process on any plugin node unless it finds
        libtensorrt_rtx.so where LD_LIBRARY_PATH pointed when the process started.
        """
        found = importlib.util.find_spec("tensorrt_rtx_libs")
        if found is None or not found.submodule_search_locations:
            return {}
        shipped = sorted(Path(found.submodule_search_locations[0]).glob("libtensorrt_rtx.so.*"))
        if not shipped:
            return {}
        (folder / "libtensorrt_rtx.so").symlink_to(shipped[0])
        before = os.environ.get("LD_LIBRARY_PATH")
        return {"LD_LIBRARY_PATH": f"{folder}{os.pathsep}{before}" if before else str(folder)}
