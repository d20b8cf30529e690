"""The CUDA compiler of this machine, and what it can compile for."""

from __future__ import annotations

import importlib.util
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
        libraries: folder of CUDA's libraries. Default: None, nvcc finds it by itself.
    """

    path: Path
    cuda: str
    architectures: tuple[int, ...]
    libraries: Path | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """What to call: the executable and the options that its installation needs."""
        return (str(self.path), *([] if self.libraries is None else [f"-L{self.libraries}"]))


def find_tool(name: str) -> Path | None:
    """A program of CUDA: in $CUDA_HOME/bin, on PATH, in /usr/local/cuda/bin, or in the wheels of the extra ``cuda``."""
    home = os.environ.get("CUDA_HOME")
    folders = [str(Path(home) / "bin")] if home else []
    folders += [os.environ.get("PATH", ""), str(_USUAL_FOLDER), *(str(top / "bin") for top in _wheels())]
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
            "nvcc: not found in $CUDA_HOME/bin, on PATH, in /usr/local/cuda/bin or among this Python's packages; "
            "pip install 'attnexport[cuda]' brings it, or install the CUDA toolkit (apt install cuda-toolkit, on "
            "Jetson nvidia-jetpack) or set CUDA_HOME"
        )
    release = re.search(r"release (\d+\.\d+)", _ask(path, "--version"))
    names = re.findall(r"^compute_(\d+)$", _ask(path, "--list-gpu-arch"), re.MULTILINE)
    if release is None or not names:
        raise InputError(f"{path}: expected the CUDA compiler, given a program that does not say its version")
    return Nvcc(path, release.group(1), tuple(sorted({int(name) for name in names})), _libraries(path))


def _wheels() -> list[Path]:
    """Folders that NVIDIA's wheels share, each laid out as a toolkit; those of the newest CUDA first."""
    spec = importlib.util.find_spec("nvidia")
    roots = [] if spec is None else spec.submodule_search_locations or []
    found = [path for root in roots for path in Path(root).glob("cu*") if path.name[2:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[2:]), reverse=True)


def _libraries(nvcc: Path) -> Path | None:
    """Where the wheels have CUDA's libraries; nvcc looks for them in ``lib64``, as toolkits name it."""
    top = nvcc.resolve().parent.parent
    has_wheels_layout = (top / "lib" / "libcudart_static.a").is_file() and not (top / "lib64").exists()
    return top / "lib" if has_wheels_layout else None


def _ask(path: Path, option: str) -> str:
    done = subprocess.run([str(path), option], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(f"{path}: {option} failed: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout
