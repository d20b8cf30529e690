"""Calls the kernels of a built library on CUDA tensors, through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
STATUS = {1: "unsupported shape", 2: "workspace too small", 3: "CUDA error"}


class Shape(ctypes.Structure):
    """attnexport_shape of params.h."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("batch", "heads", "kv_heads", "rows", "keys", "width", "value_width")),
        ("dtype", ctypes.c_int32),
        ("causal", ctypes.c_int32),
        ("kv_lengths", ctypes.c_void_p),
        ("q_start", ctypes.c_void_p),
    ]


class KrauseParams(ctypes.Structure):
    """attnexport_krause_params."""

    _fields_ = [
        ("shape", Shape),
        ("window", ctypes.c_int32),
        ("sigma_per_head", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("q", "k", "v", "sigma", "out")),
    ]


class AffineParams(ctypes.Structure):
    """attnexport_affine_params."""

    _fields_ = [
        ("shape", Shape),
        ("scale", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("q", "k", "v", "alpha", "beta", "out")),
    ]


class SsaParams(ctypes.Structure):
    """attnexport_ssa_params."""

    _fields_ = [
        ("shape", Shape),
        ("eps", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("omega_q", "omega_k", "theta", "v", "coupling", "alpha", "out")),
    ]


def _pointer(tensor: Tensor | None) -> int | None:
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def shape_of(q: Tensor, k: Tensor, v: Tensor, causal: bool, kv_lengths: Tensor | None, q_start: Tensor | None) -> Shape:
    """The sizes of a call."""
    batch, heads, rows, width = q.shape
    sizes = (batch, heads, k.shape[1], rows, k.shape[2], width, v.shape[3])
    return Shape(*sizes, DTYPES[q.dtype], int(causal), _pointer(kv_lengths), _pointer(q_start))


class Kernels:
    """A kernel library."""

    def __init__(self, path: str | Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def prepare(self, name: str, params: ctypes.Structure) -> Callable[[], None]:
        """A launch on the current stream, its workspace allocated once and filled with NaN."""
        workspace_size = getattr(self._library, f"attnexport_{name}_workspace")
        workspace_size.restype = ctypes.c_size_t
        size = workspace_size(ctypes.byref(params))
        workspace = torch.full((max(size // 4, 1),), float("nan"), dtype=torch.float32, device="cuda")
        launch = getattr(self._library, f"attnexport_{name}")

        def run() -> None:
            stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
            status = launch(ctypes.byref(params), ctypes.c_void_p(workspace.data_ptr()), ctypes.c_size_t(size), stream)
            if status:
                raise RuntimeError(f"attnexport_{name}: {STATUS.get(status, status)}")

        run.keep = (params, workspace)  # type: ignore[attr-defined]
        return run

    def krause(self, q, k, v, sigma, out, *, window=0, causal=False, kv_lengths=None, q_start=None):  # type: ignore[no-untyped-def]
        """A prepared launch of Krause attention into out."""
        shape = shape_of(q, k, v, causal, kv_lengths, q_start)
        pointers = map(_pointer, (q, k, v, sigma, out))
        return self.prepare("krause", KrauseParams(shape, window, int(sigma.dim() == 1), *pointers))

    def affine(self, q, k, v, alpha, beta, out, *, scale, causal=False, kv_lengths=None, q_start=None):  # type: ignore[no-untyped-def]
        """A prepared launch of affine-scaled attention into out."""
        shape = shape_of(q, k, v, causal, kv_lengths, q_start)
        return self.prepare("affine", AffineParams(shape, scale, *map(_pointer, (q, k, v, alpha, beta, out))))

    def ssa(self, omega_q, omega_k, theta, v, coupling, alpha, out, *, eps=1e-8, causal=False, kv_lengths=None, q_start=None):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
        """A prepared launch of selective synchronization attention into out."""
        shape = shape_of(omega_q, omega_k, v, causal, kv_lengths, q_start)
        pointers = map(_pointer, (omega_q, omega_k, theta, v, coupling, alpha, out))
        return self.prepare("ssa", SsaParams(shape, eps, *pointers))
