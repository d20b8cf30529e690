"""The Hopper experiment's kernels as functions of tensors."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent
NVCC = ("nvcc", "-std=c++17", "-O3", "-DNDEBUG", "-gencode=arch=compute_90a,code=sm_90a")
SUM_PARTS, TILE_KEYS, BIAS_BYTES = 16, 128, 32


@dataclass(frozen=True)
class Configuration:
    """One instantiation of attention.cu, by its place in choose_affine() or choose_krause().

    Attributes:
        width: head width.
        index: its number among those of the width.
        name: warpgroups and what else differs.
    """

    width: int
    index: int
    name: str


AFFINE = (
    Configuration(64, 0, "3 warpgroups in turn"),
    Configuration(64, 1, "3 warpgroups, no turns"),
    Configuration(64, 2, "2 warpgroups in turn"),
    Configuration(64, 3, "3 warpgroups in turn, 1 of 8 weights a polynomial"),
    Configuration(128, 0, "2 warpgroups in turn"),
    Configuration(128, 1, "2 warpgroups, no turns"),
)
KRAUSE = (
    Configuration(64, 0, "key bias as a product"),
    Configuration(64, 1, "key bias added"),
    Configuration(128, 0, "key bias as a product"),
    Configuration(128, 1, "key bias added"),
)


def compile_library(library: Path) -> None:
    """Compiles attention.cu with nvcc."""
    command = [*NVCC, "--shared", "-Xcompiler=-fPIC", "-o", str(library), str(FOLDER / "attention.cu")]
    subprocess.run(command, check=True)


class HopperKernels:
    """Attention over all keys through the experiment's library.

    Tensors are contiguous fp16 or bf16 of one type: q (B, H, N, D), k and v (B, Hkv, M, D), alpha and beta (B, H, N),
    out (B, H, N, D), D 64 or 128. Calls write ``out`` on the current stream and return it; RuntimeError where the
    library does not know the configuration or the launch failed.
    """

    def __init__(self, library: Path) -> None:
        """Loads the library; compiles it first where there is none."""
        if not library.exists():
            compile_library(library)
        self._library = ctypes.CDLL(str(library.resolve()))
        self._scratch: dict[int, Tensor] = {}

    def affine(
        self, q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor, out: Tensor, configuration: int
    ) -> Tensor:
        """Affine-scaled attention at scale D ** -0.5."""
        pairs, width = k.shape[0] * k.shape[1], k.shape[3]
        scratch = self._zeros(pairs * (width * (SUM_PARTS + 1) + 1), q.device)
        tensors = (q, k, v, alpha, beta, out, scratch)
        return self._launch("hopper_affine", tensors, q, k, out, width**-0.5, configuration)

    def krause(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor, sigma: float, configuration: int) -> Tensor:
        """Krause attention without a window."""
        tiles = -(-k.shape[2] // TILE_KEYS)
        scratch = self._zeros(k.shape[0] * k.shape[1] * tiles * TILE_KEYS * BIAS_BYTES // 4, q.device)
        return self._launch("hopper_krause", (q, k, v, out, scratch), q, k, out, sigma**-2, configuration)

    def _zeros(self, floats: int, device: torch.device) -> Tensor:
        return self._scratch.setdefault(floats, torch.zeros(floats, device=device))

    def _launch(
        self,
        name: str,
        tensors: tuple[Tensor, ...],
        q: Tensor,
        k: Tensor,
        out: Tensor,
        scale: float,
        configuration: int,
    ) -> Tensor:
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        sizes = (q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3])
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        is_bfloat16 = int(q.dtype == torch.bfloat16)
        status = getattr(self._library, name)(
            *pointers, *sizes, ctypes.c_float(scale), is_bfloat16, configuration, stream
        )
        if status:
            raise RuntimeError(f"{name} returned {status}")
        return out
