"""Kernels beside what a user would pick today, in one run: python -m benchmarks.gpu.compare_peers LIBRARY.

fp16, forward, medians of CUDA-graph replays. The peer of each line is the fastest PyTorch implementation known to
the authors: FlexAttention with a score_mod, cuDNN attention plus a sum, torch.compile of the dense formula or of
Kronecker features. Lines can be picked by a part of their name: compare_peers LIBRARY top-N HLA.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from attnexport.errors import AttnexportError
from attnexport.plugins.calling.library import Library, load_library
from attnexport.plugins.calling.torch_calls import run_op

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


@torch.compile(dynamic=False)
def dense_top_n(q: Tensor, k: Tensor, v: Tensor, n: int) -> Tensor:
    """Top-N attention, all scores in memory."""
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    values, index = torch.topk(scores, n, dim=-1)
    weights = torch.zeros_like(scores).scatter_(-1, index, values.float().softmax(-1).to(q.dtype))
    return weights @ v


@torch.compile(dynamic=False)
def kronecker_hla(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor) -> Tensor:
    """Hadamard linear attention of two factors through their row-wise Kronecker products."""
    queries = (q1[..., :, None] * q2[..., None, :]).flatten(-2)
    keys = (k1[..., :, None] * k2[..., None, :]).flatten(-2)
    ones = torch.ones_like(v[..., :1])
    sums = queries @ (keys.transpose(-1, -2) @ torch.cat([v, ones], dim=-1))
    return sums[..., :-1] / (sums[..., -1:] + 1e-6)


@dataclass(frozen=True)
class Line:
    """One row of the table: our call, the peer's, the ratio that was wanted and the work in GFLOP."""

    name: str
    ours: Callable[[], object]
    peer: Callable[[], Callable[[], object]] | str | None  # a str: the peer of that line
    wanted: float
    work: float


NO_GRID = {"grid_height": 0, "grid_width": 0, "grid_radius": 0, "grid_metric": "chebyshev", "grid_prefix": 0}


def lines(library: Library, batch: int, heads: int, tokens: int, width: int) -> list[Line]:
    """The calls at one shape. Inputs are drawn once."""
    ops = library.ops
    torch.manual_seed(0)
    q, k, v, theta = (torch.randn(batch, heads, tokens, width, device="cuda").half() for _ in range(4))
    sigma = torch.tensor(2.5, device="cuda").half()
    alpha = torch.rand(batch, heads, tokens, device="cuda").half()
    beta = torch.randn(batch, heads, tokens, device="cuda").half() / tokens
    coupling, decay = torch.tensor(8.0, device="cuda").half(), torch.full((heads,), 0.5, device="cuda").half()
    omega_q, omega_k = q * width**-0.5, k * width**-0.5
    factors = [torch.rand(batch, heads, tokens, 32, device="cuda").half() * 32**-0.5 for _ in range(4)]
    work, scale = 4 * batch * heads * tokens * tokens * width / 1e9, width**-0.5
    plain = {"q": q, "k": k, "v": v}

    def krause(window: int, top_k: int, causal: bool) -> Callable[[], object]:
        options = {"window": window, "top_k": top_k, "causal": causal, **NO_GRID}
        return partial(run_op, ops["KrauseAttention"], {**plain, "sigma": sigma}, options)

    def affine(causal: bool) -> Callable[[], object]:
        arguments = {**plain, "alpha": alpha, "beta": beta}
        return partial(run_op, ops["AffineScaledAttention"], arguments, {"scale": scale, "causal": causal})

    def ssa(top_k: int) -> Callable[[], object]:
        arguments = {
            "omega_q": omega_q,
            "omega_k": omega_k,
            "theta": theta,
            "v": v,
            "coupling": coupling,
            "alpha": decay,
        }
        options = {"top_k": top_k, "causal": False, "eps": 1e-8}
        return partial(run_op, ops["SelectiveSynchronizationAttention"], arguments, options)

    def hla(causal: bool) -> Callable[[], object]:
        arguments = {"query_factors": factors[:2], "key_factors": factors[2:], "v": v}
        return partial(run_op, ops["HadamardLinearAttention"], arguments, {"causal": causal, "eps": 1e-6})

    def top_n(n: int) -> Callable[[], object]:
        options = {"n": n, "scale": scale, "renormalize": True, "causal": False}
        return partial(run_op, ops["TopNAttention"], plain, options)

    def dense_peer() -> Callable[[], object]:
        return lambda: dense_ssa(omega_q, omega_k, theta, v, coupling, decay)

    window_work, state_work = work * WINDOW / tokens, 4 * batch * heads * tokens * 1024 * (width + 1) / 1e9
    return [
        Line("Krause, full", krause(0, 0, False), lambda: flex_krause(q, k, v, 2.5, 0), 1.2, work),
        Line(f"Krause, causal window {WINDOW}", krause(WINDOW, 0, True), lambda: flex_krause(q, k, v, 2.5, WINDOW),
             1.0, window_work),
        Line(f"Krause, causal window {WINDOW}, top-k 64; peer without top-k", krause(WINDOW, 64, True),
             f"Krause, causal window {WINDOW}", 1.5, window_work),
        Line("affine, full", affine(False), lambda: cudnn_affine(q, k, v, alpha, beta, False), 1.6, work),
        Line("affine, causal", affine(True), lambda: cudnn_affine(q, k, v, alpha, beta, True), 1.0, work / 2),
        Line("SSA, full", ssa(0), dense_peer, 0.33, work),
        Line("SSA, top-k 64; peer without top-k", ssa(64), "SSA, full", float("nan"), work),
        Line("top-N = 64, full", top_n(64), lambda: lambda: dense_top_n(q, k, v, 64), 0.25, work),
        Line("HLA R=2 m=32, full", hla(False),
             lambda: lambda: kronecker_hla(factors[0], factors[1], factors[2], factors[3], v), 0.6, state_work),
        Line("HLA R=2 m=32, causal", hla(True), None, float("nan"), state_work),
    ]  # fmt: skip


def peer_time(line: Line, known: dict[str, float]) -> float:
    """Milliseconds of a line's peer, measured once a shape; NaN where there is none."""
    if line.peer is None or isinstance(line.peer, str):
        return known.get(line.peer or "", float("nan"))
    known[line.name] = replay_time(line.peer())
    return known[line.name]


def decode(library: Library) -> list[tuple[str, Callable[[], object], float]]:
    """Decoding of one row against 32768 keys: name, call, gigabytes of keys and values."""
    batch, heads, keys, width = 8, 16, 32768, 128
    k, v = (torch.randn(batch, heads, keys, width, device="cuda").half() for _ in range(2))
    q = torch.randn(batch, heads, 1, width, device="cuda").half()
    ones = torch.ones(batch, heads, 1, device="cuda").half()
    plain, read, ops = {"q": q, "k": k, "v": v}, 4 * k.numel() / 1e9, library.ops
    krause = {"window": 0, "top_k": 0, "causal": False, **NO_GRID}
    top_n = {"n": 64, "scale": width**-0.5, "renormalize": True, "causal": False}
    affine = {"scale": width**-0.5, "causal": False}
    sigma = torch.tensor(2.5, device="cuda").half()
    return [
        ("Krause", partial(run_op, ops["KrauseAttention"], {**plain, "sigma": sigma}, krause), read),
        ("affine", partial(run_op, ops["AffineScaledAttention"], {**plain, "alpha": ones, "beta": ones}, affine), read),
        ("top-N = 64", partial(run_op, ops["TopNAttention"], plain, top_n), read),
    ]


def main() -> None:
    """Prints one Markdown row a call and shape, then the decoding."""
    library, wanted_names = load_library(sys.argv[1]), sys.argv[2:]

    def is_wanted(name: str) -> bool:
        return not wanted_names or any(part in name for part in wanted_names)

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| call | shape | ours, ms | peer, ms | ours / peer | wanted | ours, TFLOP/s |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for batch, heads, tokens, width in SHAPES:
        peers: dict[str, float] = {}
        for line in lines(library, batch, heads, tokens, width):
            if not is_wanted(line.name):
                continue
            shape = f"B{batch} H{heads} N{tokens} D{width}"
            try:
                own = replay_time(line.ours)
                print(f"| {line.name} | {shape} | {own:.3f} | ", end="", flush=True)
                other = peer_time(line, peers)
            except (RuntimeError, AttnexportError) as error:
                print(f"not run: {str(error).splitlines()[0]} |", flush=True)
                continue
            print(f"{other:.3f} | {own / other:.2f} | {line.wanted} | {line.work / own:.0f} |", flush=True)
            torch.cuda.empty_cache()
    print("\nDecode, B8 H16 N1 M32768 D128; bytes of K and V once:\n")
    for name, run, read in decode(library):
        if is_wanted(f"decode {name}"):
            own = replay_time(run)
            print(f"- {name}: {own:.3f} ms, {read / own:.2f} TB/s", flush=True)


if __name__ == "__main__":
    main()
