"""What had a part in a check, by name and version."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import torch

from attnexport.version import __version__

_PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx")


def environment() -> dict[str, str]:
    """Names and versions in the order to show them; packages that are not installed are left out."""
    found = {
        "attnexport": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    """Its name as Linux says it; on other systems what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
