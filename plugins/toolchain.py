"""The CUDA compiler of this machine, and what it can compile for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import InputError

_USUAL_FOLDER = Path("/usr/local/cuda/bin")


@dataclass(frozen=True)
class Nvcc:
    """An nvcc that runs.

    Attributes:
        path: the executable.
        cuda: its CUDA version, as 13.0.
        architectures: compute capabilities it compiles for, as 90.
    """

    path: Path
    cuda: str
    architectures: tuple[int, ...]


def find_tool(name: str) -> Path | None:
    """A program of the CUDA toolkit: in $CUDA_HOME/bin, on PATH, or in /usr/local/cuda/bin."""
    home = os.environ.get("CUDA_HOME")
    folders = [str(Path(home) / "bin")] if home else []
    folders += [os.environ.get("PATH", ""), str(_USUAL_FOLDER)]
    for folder in folders:
        found = shutil.which(name, path=folder) if folder else None
        if found is not None:
            return Path(found)
    return None


def find_nvcc() -> Nvcc:
    """The nvcc of this machine.

    Raises:
        InputError: none found, or one that does not run.
    """
    path = find_tool("nvcc")
    if path is None:
        raise InputError(
            "nvcc: not found in $CUDA_HOME/bin, on PATH or in /usr/local/cuda/bin; install the CUDA toolkit "
            "(apt install cuda-toolkit, on Jetson nvidia-jetpack) or set CUDA_HOME"
        )
    release = re.search(r"release (\d+\.\d+)", _ask(path, "--version"))
    names = re.findall(r"^compute_(\d+)$", _ask(path, "--list-gpu-arch"), re.MULTILINE)
    if release is None or not names:
        raise InputError(f"{path}: expected the CUDA compiler, given a program that does not say its version")
    return Nvcc(path, release.group(1), tuple(sorted({int(name) for name in names})))


def _ask(path: Path, option: str) -> str:
    done = subprocess.run([str(path), option], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(f"{path}: {option} failed: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout
