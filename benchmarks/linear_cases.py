"""The calls whose cost must be linear in the tokens, as functions and as ONNX sessions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

import attnexport

HEADS, WIDTH, WINDOW, FEATURES = 4, 64, 64, 16


class KrauseWindow(nn.Module):
    """Krause attention in a window of 64."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attnexport.krause_attention(q, k, v, torch.tensor(2.5), window=WINDOW, causal=self.causal)


class Hadamard(nn.Module):
    """Hadamard linear attention with two factors of 16 features."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        queries = [q[..., :FEATURES].abs(), q[..., FEATURES : 2 * FEATURES].abs()]
        keys = [k[..., :FEATURES].abs(), k[..., FEATURES : 2 * FEATURES].abs()]
        return attnexport.hadamard_linear_attention(queries, keys, v, causal=self.causal)


CASES: dict[str, Callable[[], nn.Module]] = {
    "krause window 64": lambda: KrauseWindow(causal=False),
    "krause window 64 causal": lambda: KrauseWindow(causal=True),
    "hla m=16": lambda: Hadamard(causal=False),
    "hla m=16 causal": lambda: Hadamard(causal=True),
}


def tensors(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of one sample, float32."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, HEADS, tokens, WIDTH)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    return q, k, v


def eager(case: str, tokens: int) -> Callable[[], object]:
    """A run of the operator in PyTorch without gradients."""
    module, args = CASES[case](), tensors(tokens)

    def run() -> object:
        with torch.no_grad():
            return module(*args)

    return run


def onnx_session(case: str, tokens: int) -> Callable[[], object]:
    """A run of the operator's ONNX body in ONNX Runtime, exported with dynamic tokens."""
    dims = {2: "tokens"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.onnx"
        shapes = {"q": dims, "k": dims, "v": dims}
        attnexport.convert(CASES[case](), tensors(256), path, dynamic_shapes=shapes)
        options = onnxruntime.SessionOptions()
        session = onnxruntime.InferenceSession(str(path), options)
    feeds = {name: tensor.numpy() for name, tensor in zip("qkv", tensors(tokens), strict=True)}
    return lambda: session.run(None, feeds)


BACKENDS: dict[str, Callable[[str, int], Callable[[], object]]] = {"eager": eager, "onnxruntime": onnx_session}
