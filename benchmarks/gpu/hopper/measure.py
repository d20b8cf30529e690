"""Attention by wgmma beside the portable kernels and the peers: python -m benchmarks.gpu.hopper.measure LIBRARY...

LIBRARY is a kernel library of `attnexport plugins build`, or several to compare. The kernels of this folder are
compiled to the file that --hopper names where it is not there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnexport.errors import AttnexportError
from attnexport.plugins.calling.library import load_library
from attnexport.plugins.calling.torch_calls import run_op
from benchmarks.gpu.compare_peers import NO_GRID, cudnn_affine, flex_krause, replay_time
from benchmarks.gpu.hopper.kernel import AFFINE, KRAUSE, HopperKernels

SIGMA = 2.5
CHECKED = ((1, 2, 2, 100, 100), (2, 4, 2, 129, 500), (1, 8, 2, 1000, 1500), (2, 2, 2, 640, 128), (1, 2, 2, 4096, 4096))
TABLE = ((4, 16, 16, 4096, 64), (2, 16, 16, 8192, 128))
DEPLOYED = (
    (16, 12, 12, 197, 64),
    (8, 16, 16, 577, 64),
    (1, 12, 12, 197, 64),
    (4, 16, 16, 1000, 64),
    (4, 16, 16, 1024, 64),
    (1, 32, 8, 2048, 128),
    (1, 12, 12, 16384, 128),
)
Run = Callable[[], object]


def make_inputs(
    batch: int, heads: int, kv_heads: int, rows: int, keys: int, width: int, dtype: torch.dtype
) -> list[Tensor]:
    """Random q, k, v, alpha and beta."""
    q = torch.randn(batch, heads, rows, width, device="cuda")
    k, v = (torch.randn(batch, kv_heads, keys, width, device="cuda") for _ in range(2))
    alpha, beta = torch.rand(batch, heads, rows, device="cuda"), torch.randn(batch, heads, rows, device="cuda") / keys
    return [tensor.to(dtype) for tensor in (q, k, v, alpha, beta)]


def references(q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """The formulas of affine-scaled and of Krause attention in float64."""
    group, scale = q.shape[1] // k.shape[1], q.shape[-1] ** -0.5
    q, k, v, alpha, beta = (tensor.double() for tensor in (q, k, v, alpha, beta))
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q @ k.transpose(-1, -2)
    affine = alpha[..., None] * ((scores * scale).softmax(-1) @ v) + beta[..., None] * v.sum(2, keepdim=True)
    krause = ((scores - 0.5 * k.square().sum(-1)[..., None, :]) / SIGMA**2).softmax(-1) @ v
    return affine, krause


def portable_affine(library: str, inputs: list[Tensor]) -> Run:
    """The call of a kernel library."""
    op, names = load_library(library).ops["AffineScaledAttention"], ("q", "k", "v", "alpha", "beta")
    options = {"scale": inputs[0].shape[-1] ** -0.5, "causal": False}
    return partial(run_op, op, dict(zip(names, inputs, strict=True)), options)


def portable_krause(library: str, inputs: list[Tensor]) -> Run:
    """The call of a kernel library."""
    sigma = torch.tensor(SIGMA, device="cuda").to(inputs[0].dtype)
    arguments = {**dict(zip(("q", "k", "v"), inputs[:3], strict=True)), "sigma": sigma}
    options = {"window": 0, "top_k": 0, "causal": False, **NO_GRID}
    return partial(run_op, load_library(library).ops["KrauseAttention"], arguments, options)


def softmax_attention(backend: SDPBackend, inputs: list[Tensor]) -> Run:
    """PyTorch's attention alone, without the affine part."""

    def run() -> Tensor:
        with sdpa_kernel([backend]):
            return F.scaled_dot_product_attention(*inputs[:3], enable_gqa=True)

    return run


def flash_attention_4(inputs: list[Tensor]) -> Run:
    """FlashAttention-4 alone, where its package is there."""
    from flash_attn.cute import flash_attn_func

    q, k, v = (tensor.transpose(1, 2).contiguous() for tensor in inputs[:3])
    return lambda: flash_attn_func(q, k, v)


def hopper_runs(kernels: HopperKernels, inputs: list[Tensor]) -> Iterator[tuple[str, bool, Callable[[Tensor], Tensor]]]:
    """Name, whether it is Krause's, and the run into an output, of every configuration for the inputs' width."""
    q, k, v, *_ = inputs
    for c in AFFINE:
        if c.width == q.shape[-1]:
            yield f"affine by wgmma, {c.name}", False, lambda out, c=c: kernels.affine(*inputs, out, c.index)
    for c in KRAUSE:
        if c.width == q.shape[-1]:
            yield f"Krause by wgmma, {c.name}", True, lambda out, c=c: kernels.krause(q, k, v, out, SIGMA, c.index)


def check(kernels: HopperKernels) -> None:
    """Prints the largest relative error of every configuration; each run writes an output of NaN, and twice."""
    print("\n| kernel | type | largest of the relative errors | two runs |\n|---|---|---:|---|")
    worst: dict[tuple[str, str], tuple[float, bool]] = {}
    for sizes in CHECKED:
        for width in (64, 128):
            for dtype in (torch.float16, torch.bfloat16):
                inputs = make_inputs(*sizes, width, dtype)
                wanted = references(*inputs)
                for name, is_krause, run in hopper_runs(kernels, inputs):
                    got, again = (run(torch.full_like(inputs[0], float("nan"))) for _ in range(2))
                    error = float((got.double() - wanted[is_krause]).norm() / wanted[is_krause].norm())
                    equal = torch.equal(got.view(torch.int16), again.view(torch.int16))
                    key = (f"{name}, D{width}", str(dtype).removeprefix("torch."))
                    before = worst.get(key, (0.0, True))
                    worst[key] = (error if error != error else max(error, before[0]), equal and before[1])
    for (name, dtype), (error, equal) in worst.items():
        print(f"| {name} | {dtype} | {error:.2e} | {'equal' if equal else 'DIFFER'} |", flush=True)


def timed_runs(kernels: HopperKernels, libraries: list[str], inputs: list[Tensor]) -> dict[str, Callable[[], Run]]:
    """What is timed at one shape; made when its turn comes."""
    out = torch.empty_like(inputs[0])
    runs: dict[str, Callable[[], Run]] = {}
    for library in libraries:
        runs[f"affine, portable, {library}"] = partial(portable_affine, library, inputs)
        runs[f"Krause, portable, {library}"] = partial(portable_krause, library, inputs)
    for name, _, run in hopper_runs(kernels, inputs):
        runs[name] = partial(partial, run, out)
    runs["cuDNN attention alone"] = partial(softmax_attention, SDPBackend.CUDNN_ATTENTION, inputs)
    runs["flash attention 2 alone"] = partial(softmax_attention, SDPBackend.FLASH_ATTENTION, inputs)
    runs["FlashAttention-4 alone"] = partial(flash_attention_4, inputs)
    return runs


def time_shape(runs: dict[str, Callable[[], Run]], title: str, work: float) -> None:
    """Prints milliseconds, twice, and TFLOP/s of everything at one shape."""
    print(f"\n| {title}, fp16 | ms | again | TFLOP/s |\n|---|---:|---:|---:|", flush=True)
    for name, make in runs.items():
        try:
            run = make()
            first, second = replay_time(run), replay_time(run)
        except (RuntimeError, ImportError, TypeError, AttnexportError) as error:
            print(f"| {name} | not run: {str(error).splitlines()[0]} |", flush=True)
            continue
        print(f"| {name} | {first:.4f} | {second:.4f} | {work / min(first, second):.0f} |", flush=True)


def main() -> None:
    """Checks, then times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="+")
    parser.add_argument("--hopper", type=Path, default=Path("libhopper.so"))
    parser.add_argument("--deployed", action="store_true", help="shapes that people deploy, too")
    given = parser.parse_args()
    torch.manual_seed(0)
    kernels = HopperKernels(given.hopper)
    check(kernels)
    for batch, heads, kv_heads, tokens, width in (*TABLE, *(DEPLOYED if given.deployed else ())):
        inputs = make_inputs(batch, heads, kv_heads, tokens, tokens, width, torch.float16)
        runs = timed_runs(kernels, given.libraries, inputs)
        if (batch, heads, kv_heads, tokens, width) in TABLE:
            runs["cuDNN attention and compiled sum of v"] = partial(cudnn_affine, *inputs, False)
            runs["FlexAttention, Krause"] = partial(flex_krause, *inputs[:3], SIGMA, 0)
        work = 4 * batch * heads * tokens * tokens * width / 1e9
        time_shape(runs, f"B{batch} H{heads}/{kv_heads} N{tokens} D{width}", work)


if __name__ == "__main__":
    main()
