"""GPU architectures: which are known, which this machine has, and how nvcc is told."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.plugins.building.toolchain import Nvcc, find_tool

KNOWN = (80, 86, 87, 89, 90, 100, 101, 110, 120)
"""Compute capabilities the kernels are written for: 87 is Orin, 110 is Thor, which CUDA before 13.0 calls 101."""

_THOR = {101: "Thor is 110 from CUDA 13.0 on", 110: "Thor is 101 before CUDA 13.0"}


def choose_architectures(wanted: Sequence[int], nvcc: Nvcc) -> tuple[int, ...]:
    """The architectures to compile for, ascending.

    Args:
        wanted: compute capabilities as 87; empty for the GPU of this machine.
        nvcc: must support them all.

    Raises:
        InputError: an unknown architecture, one that nvcc does not compile for, or no GPU to ask.
    """
    asked = option("--arch") if wanted else "GPU of this machine"
    chosen = tuple(sorted(set(wanted))) or _of_this_machine()
    supported = [architecture for architecture in KNOWN if architecture in nvcc.architectures]
    for architecture in chosen:
        if architecture not in KNOWN:
            raise InputError(f"{asked}: expected one of {_join(KNOWN)}, given {architecture}")
        if architecture not in supported:
            hint = f" ({_THOR[architecture]})" if architecture in _THOR else ""
            raise InputError(
                f"{asked}: nvcc of CUDA {nvcc.cuda} compiles for {_join(supported)}, given {architecture}{hint}"
            )
    return chosen


HOPPER = 90
HOPPER_CODE = "-gencode=arch=compute_90a,code=sm_90a"
"""nvcc's option for kernels of Hopper's own instructions: machine code alone, since no other GPU runs them."""

_HOPPER_CUDA = (12, 3)
"""The first CUDA whose graphs take what those kernels are launched with."""


def compiles_hopper(architectures: Sequence[int], nvcc: Nvcc) -> bool:
    """Whether Hopper's own kernels go into a library for these architectures."""
    return HOPPER in architectures and tuple(int(part) for part in nvcc.cuda.split(".")) >= _HOPPER_CUDA


def gencode(architectures: Sequence[int]) -> list[str]:
    """nvcc's options: machine code for each architecture, and PTX of the highest for those to come."""
    highest = max(architectures)
    machine = [f"-gencode=arch=compute_{value},code=sm_{value}" for value in architectures]
    return [*machine, f"-gencode=arch=compute_{highest},code=compute_{highest}"]


def gpus_of_this_machine() -> tuple[int, ...]:
    """Compute capabilities of this machine's GPUs, ascending; empty where it shows none."""
    return tuple(sorted(_from_nvidia_smi() or _from_torch()))


def _of_this_machine() -> tuple[int, ...]:
    found = gpus_of_this_machine()
    if not found:
        given = "given none, and this machine shows no GPU to ask"
        raise InputError(f"{option('--arch')}: expected one of {_join(KNOWN)}, {given}")
    return found


def _from_nvidia_smi() -> set[int]:
    path = find_tool("nvidia-smi")
    if path is None:
        return set()
    command = [str(path), "--query-gpu=compute_cap", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    numbers = [line.strip().replace(".", "") for line in done.stdout.splitlines()]
    return {int(number) for number in numbers if number.isdecimal()} if done.returncode == 0 else set()


def _from_torch() -> set[int]:
    import torch

    if not torch.cuda.is_available():
        return set()
    capabilities = [torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())]
    return {10 * major + minor for major, minor in capabilities}


def _join(values: Sequence[int]) -> str:
    return " ".join(str(value) for value in values)
