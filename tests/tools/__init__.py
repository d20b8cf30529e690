"""What tests need beside the packages that they import: found by name, or the reason for which they are skipped."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from attnexport.plugins.building.toolchain import find_tool
from attnexport.sandbox import landlock, seccomp

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@dataclass(frozen=True)
class Tool:
    """Something that a machine may lack.

    Attributes:
        name: as it is told.
        find: says where it is, or None.
        remedy: what brings it, as it is told.
        packages: groups of Debian's packages, the first of which that apt has brings it. Default: none does.
        of_the_machine: nothing that is installed brings it. Default: False.
    """

    name: str
    find: Callable[[], str | None]
    remedy: str
    packages: tuple[tuple[str, ...], ...] = ()
    of_the_machine: bool = False


class MissingTool(pytest.skip.Exception):  # type: ignore[name-defined]
    """Skips a test for want of a tool."""

    def __init__(self, tool: Tool) -> None:
        super().__init__(f"{tool.name} is missing: {tool.remedy}", _use_item_location=True)
        self.tool = tool


def require(name: str) -> Path:
    """Where a tool is; skips the test, or all that need the fixture, where it is missing.

    Raises:
        MissingTool: counted at the end of the run.
    """
    found = TOOLS[name].find()
    if found is None:
        lack(name)
    return Path(found)


def lack(name: str) -> NoReturn:
    """Skips the test, or all that need the fixture: a tool is there and does not serve.

    Raises:
        MissingTool: counted at the end of the run.
    """
    raise MissingTool(TOOLS[name])


def _program(*names: str) -> str | None:
    """The first that is there, beside this Python before PATH."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return next((path for name in names if (path := shutil.which(name, path=folders))), None)


def _cuda_program(name: str) -> str | None:
    path = find_tool(name)
    return None if path is None else str(path)


def _package(name: str, below: str = "") -> str | None:
    spec = importlib.util.find_spec(name)
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = (Path(folder) / below for folder in folders)
    return next((str(path) for path in paths if path.exists()), None)


def _modelopt() -> str | None:
    parts = (_package(name) for name in ("onnx_graphsurgeon", "onnxslim", "lief"))
    return _package("modelopt", "onnx/quantization") if all(parts) else None


def _zlib() -> str | None:
    compiler = _program("g++")
    if compiler is None:
        return None
    command = [compiler, "-x", "c++", "-E", "-include", "zlib.h", os.devnull]
    done = subprocess.run(command, capture_output=True, check=False)
    return "zlib.h" if done.returncode == 0 else None


def _python_headers() -> str | None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return str(header) if header.is_file() else None


def _gpu() -> str | None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # No driver: torch, which takes seconds to import, would find none either.
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _root() -> str | None:
    return "/root" if os.geteuid() == 0 else None


def _mounting() -> str | None:
    return _program("mount") if _root() else None


def _landlock() -> str | None:
    return "Landlock" if landlock.version() >= landlock.OLDEST else None


def _seccomp() -> str | None:
    probe = "from attnexport.sandbox.kernel import gain_no_privileges as g; g();"
    probe += "from attnexport.sandbox.seccomp import refuse_system_calls as r; r(programs=False)"
    done = seccomp.is_known() and subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False)
    return "seccomp" if done and done.returncode == 0 else None


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("g++", lambda: _program("g++"), "apt install g++", (("g++",),)),
        Tool("Python's headers", _python_headers, "apt install python3-dev", (("python3-dev",),)),
        Tool("zlib", _zlib, "apt install zlib1g-dev", (("zlib1g-dev",),)),
        Tool(
            "a browser",
            lambda: _program(*BROWSERS),
            "apt install chromium-headless-shell",
            (("chromium-headless-shell", "fonts-dejavu-core"), ("chromium", "fonts-dejavu-core")),
        ),
        Tool("nvcc", lambda: _cuda_program("nvcc"), "make test installs it, pip's extra cuda"),
        Tool("CUDA's wheels", lambda: _package("nvidia", "cu13/bin/nvcc"), "make test installs them, pip's extra cuda"),
        Tool("cmake", lambda: _program("cmake"), "make test installs it, pip's extra test"),
        Tool("ninja", lambda: _program("ninja"), "make test installs it, pip's extra test"),
        Tool("cuobjdump", lambda: _cuda_program("cuobjdump"), "make test installs it, pip's nvidia-cuda-cuobjdump"),
        Tool("tensorrt-rtx", lambda: _package("tensorrt_rtx"), "make test installs it, pip's extra rtx"),
        Tool(
            "TensorRT's headers",
            lambda: _package("kernel_lens", "include/tensorrt"),
            "make test installs them, pip's kernel-lens",
        ),
        Tool("ModelOpt", _modelopt, "make test installs it, pip's extra modelopt"),
        Tool("a GPU", _gpu, "run on a machine that has one", of_the_machine=True),
        Tool("root", _root, "run as root", of_the_machine=True),
        Tool("mounting", _mounting, "run as root where mounts are allowed", of_the_machine=True),
        Tool("Landlock", _landlock, "run on Linux 5.19 or later with Landlock on", of_the_machine=True),
        Tool("seccomp", _seccomp, "run on x86-64 or arm64 Linux that filters system calls", of_the_machine=True),
    )
}
