"""Kernels beside what a user would pick today, in one run: python -m benchmarks.gpu.compare_peers LIBRARY.

fp16, forward, medians of CUDA-graph replays. The peer of each line is the fastest PyTorch implementation known to
the authors: FlexAttention with a score_mod, cuDNN attention plus a sum, or torch.compile of the dense formula.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from benchmarks.gpu.kernels import Kernels

SHAPES = ((4, 16, 4096, 64), (2, 16, 8192, 128))
WINDOW = 256
flex = torch.compile(flex_attention, dynamic=False)


def replay_time(run: Callable[[], object], repeats: int = 20) -> float:
    """Median milliseconds of a graph's replays."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    for _ in range(3):
        graph.replay()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[repeats // 2]


def flex_krause(q: Tensor, k: Tensor, v: Tensor, sigma: float, window: int) -> Callable[[], object]:
    """Krause attention as dot-product attention with a key bias."""
    scale = sigma**-2
    bias = -0.5 * scale * k.float().square().sum(-1)
    mask = None
    if window:
        size = q.shape[2]
        mask = create_block_mask(lambda b, h, i, j: (j <= i) & (i - j < window), None, None, size, size)
    return lambda: flex(q, k, v, lambda s, b, h, i, j: s + bias[b, h, j], block_mask=mask, scale=scale)


@torch.compile(dynamic=False)
def affine_of(attention: Tensor, v: Tensor, alpha: Tensor, beta: Tensor, causal: bool) -> Tensor:
    """The affine part behind a fused softmax attention."""
    sums = v.float().cumsum(2) if causal else v.float().sum(2, keepdim=True)
    return (alpha[..., None] * attention + beta[..., None] * sums).to(v.dtype)


def cudnn_affine(q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor, causal: bool) -> Callable[[], object]:
    """cuDNN attention and the affine part."""

    def run() -> Tensor:
        with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION], set_priority=True):
            attention = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return affine_of(attention, v, alpha, beta, causal)

    return run


@torch.compile(dynamic=False)
def dense_ssa(q: Tensor, k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor) -> Tensor:
    """Selective synchronization attention, all pairs in memory."""
    waves = torch.stack([theta.float().cos(), theta.float().sin()]).mean(3)
    order = waves.square().sum(0).sqrt().mean(-1)[..., None, None]
    norms = q.float().square().sum(-1)[..., None] + k.float().square().sum(-1)[..., None, :]
    distance = (norms - 2.0 * (q @ k.transpose(-1, -2)).float()).clamp(min=0.0)
    inner = torch.exp(-2.0 * alpha.float()[:, None, None] * distance) - distance / (coupling.float() * order).square()
    strength = inner.clamp(min=0.0).sqrt()
    return ((strength.to(v.dtype) @ v).float() / (strength.sum(-1, keepdim=True) + 1e-8)).to(v.dtype)


def main() -> None:
    """Prints one Markdown row a variant and shape."""
    kernels = Kernels(sys.argv[1])
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| call | shape | ours, ms | peer, ms | ours / peer | ours, TFLOP/s |\n|---|---|---:|---:|---:|---:|")
    for batch, heads, tokens, width in SHAPES:
        q, k, v, theta = (torch.randn(batch, heads, tokens, width, device="cuda").half() for _ in range(4))
        out = torch.empty_like(q)
        sigma = torch.tensor(2.5, device="cuda").half()
        alpha = torch.rand(batch, heads, tokens, device="cuda").half()
        beta = torch.randn(batch, heads, tokens, device="cuda").half() / tokens
        coupling, decay = torch.tensor(8.0, device="cuda").half(), torch.full((heads,), 0.5, device="cuda").half()
        omega_q, omega_k = q * width**-0.5, k * width**-0.5
        work = 4 * batch * heads * tokens * tokens * width / 1e9
        scale = width**-0.5
        rows = (
            ("Krause, full", kernels.krause(q, k, v, sigma, out), flex_krause(q, k, v, 2.5, 0), work),
            (
                f"Krause, causal window {WINDOW}",
                kernels.krause(q, k, v, sigma, out, window=WINDOW, causal=True),
                flex_krause(q, k, v, 2.5, WINDOW),
                work * WINDOW / tokens,
            ),
            (
                "affine, full",
                kernels.affine(q, k, v, alpha, beta, out, scale=scale),
                cudnn_affine(q, k, v, alpha, beta, False),
                work,
            ),
            (
                "affine, causal",
                kernels.affine(q, k, v, alpha, beta, out, scale=scale, causal=True),
                cudnn_affine(q, k, v, alpha, beta, True),
                work / 2,
            ),
            (
                "SSA, full",
                kernels.ssa(omega_q, omega_k, theta, v, coupling, decay, out),
                lambda args=(omega_q, omega_k, theta, v, coupling, decay): dense_ssa(*args),
                work,
            ),
        )
        for name, ours, peer, flops in rows:
            own, other = replay_time(ours), replay_time(peer)
            shape = f"B{batch} H{heads} N{tokens} D{width}"
            print(f"| {name} | {shape} | {own:.3f} | {other:.3f} | {own / other:.2f} | {flops / own:.0f} |", flush=True)
    batch, heads, keys, width = 8, 16, 32768, 128
    k, v = (torch.randn(batch, heads, keys, width, device="cuda").half() for _ in range(2))
    q = torch.randn(batch, heads, 1, width, device="cuda").half()
    out, ones = torch.empty_like(q), torch.ones(batch, heads, 1, device="cuda").half()
    read = 4 * k.numel() / 1e9
    decode = (
        ("Krause", kernels.krause(q, k, v, torch.tensor(2.5, device="cuda").half(), out)),
        ("affine", kernels.affine(q, k, v, ones, ones, out, scale=width**-0.5)),
    )
    print(f"\nDecode, B{batch} H{heads} N1 M{keys} D{width}; bytes of K and V once:\n")
    for name, run in decode:
        own = replay_time(run)
        print(f"- {name}: {own:.3f} ms, {read / own:.2f} TB/s")


if __name__ == "__main__":
    main()
