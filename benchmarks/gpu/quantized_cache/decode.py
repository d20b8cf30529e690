"""8-bit keys and values beside halves, in one run:

    nvcc -O3 -std=c++17 -gencode=arch=compute_90a,code=sm_90a -shared -Xcompiler -fPIC \
        benchmarks/gpu/quantized_cache/decode.cu -o decode.so
    python -m benchmarks.gpu.quantized_cache.decode LIBRARY decode.so [FP8_KEYS]

LIBRARY is the kernel library; FP8_KEYS one that was built with fp8_keys.patch, which has the Hopper kernel take queries
and keys as e4m3 in half as many halves. Decoding with a scale a head, and whole affine-scaled attention. Medians of
CUDA-graph replays; errors are against float64 of the very numbers that a call was given, and of those before rounding.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from attnexport.plugins.calling.library import Library, load_library
from attnexport.plugins.calling.torch_calls import run_op
from benchmarks.gpu.compare_peers import NO_GRID, replay_time

WIDTH, SIGMA = 128, 2.5
KINDS = {"half": 0, "fp8": 1, "int8": 2}
PART_NUMBERS = 9 * (WIDTH + 2)
"""What decode.cu keeps of a part of the keys."""

AFFINE, KRAUSE = "affine", "Krause"


@dataclass(frozen=True)
class Call:
    """Decoding of one row a sample; ``splits`` parts of the keys for decode.cu."""

    batch: int
    heads: int
    kv_heads: int
    keys: int
    splits: int

    @property
    def name(self) -> str:
        """For the table."""
        return f"B{self.batch} H{self.heads}/{self.kv_heads} M{self.keys}"


CALLS = (Call(8, 16, 16, 32768, 3), Call(64, 32, 8, 8192, 3), Call(8, 32, 8, 8192, 6), Call(1, 32, 8, 4096, 32))


@dataclass(frozen=True)
class Inputs:
    """Tensors of a call in half: q (B, H, 1, D), k and v (B, Hkv, M, D), alpha and beta (B, H, 1)."""

    q: Tensor
    k: Tensor
    v: Tensor
    alpha: Tensor
    beta: Tensor

    @classmethod
    def of(cls, call: Call) -> Inputs:
        """Normal numbers, and shares between 0 and 1, a 64th of that for the values' sum."""
        q = torch.randn(call.batch, call.heads, 1, WIDTH, device="cuda").half()
        k, v = (torch.randn(call.batch, call.kv_heads, call.keys, WIDTH, device="cuda").half() for _ in range(2))
        alpha, beta = torch.rand(2, call.batch, call.heads, 1, device="cuda").half()
        return cls(q, k, v, alpha, beta / 64)

    def exact(self, variant: str, k: Tensor, v: Tensor) -> Tensor:
        """The last sample's first group of heads (G, D) in float64, with these keys and values (M, D)."""
        group = self.q.shape[1] // self.k.shape[1]
        queries, k, v = self.q[-1, :group, 0].double(), k.double(), v.double()
        if variant == KRAUSE:
            return ((queries @ k.T - (k * k).sum(-1) / 2) / SIGMA**2).softmax(-1) @ v
        mean = (queries @ k.T * WIDTH**-0.5).softmax(-1) @ v
        return self.alpha[-1, :group].double() * mean + self.beta[-1, :group].double() * v.sum(0)


@dataclass(frozen=True)
class Rounded:
    """A tensor (B, Hkv, M, D) in 8 bits with a scale a head; halves as they are, without one."""

    numbers: Tensor
    scale: Tensor | None

    @classmethod
    def of(cls, x: Tensor, kind: str) -> Rounded:
        """Symmetric, about the largest number of a head."""
        if kind == "half":
            return cls(x, None)
        scale = x.abs().amax((-1, -2), keepdim=True).float() / (448 if kind == "fp8" else 127)
        scaled = x.float() / scale
        numbers = scaled.to(torch.float8_e4m3fn) if kind == "fp8" else scaled.round().to(torch.int8)
        return cls(numbers, scale.reshape(-1).contiguous())

    def last(self) -> Tensor:
        """The numbers of the last sample's first head (M, D), as they are meant."""
        numbers = self.numbers[-1, 0].double()
        pairs = self.numbers.shape[1]
        return numbers if self.scale is None else numbers * self.scale[-pairs].double()


def run_library(library: Library, variant: str, inputs: Inputs) -> Callable[[], Tensor]:
    """The library's decoding over halves."""
    tensors = {"q": inputs.q, "k": inputs.k, "v": inputs.v}
    if variant == KRAUSE:
        sigma = torch.tensor(SIGMA, device="cuda").half()
        options = {"window": 0, "top_k": 0, "causal": False, **NO_GRID}
        return partial(run_op, library.ops["KrauseAttention"], {**tensors, "sigma": sigma}, options)
    shares = {"alpha": inputs.alpha, "beta": inputs.beta}
    return partial(
        run_op, library.ops["AffineScaledAttention"], {**tensors, **shares}, {"scale": WIDTH**-0.5, "causal": False}
    )


def run_own(
    own: ctypes.CDLL, variant: str, inputs: Inputs, cache: tuple[Rounded, Rounded], kind: str, call: Call
) -> Callable[[], Tensor]:
    """decode.cu's decoding; gives the output that every run writes."""
    pairs, group = call.batch * call.kv_heads, call.heads // call.kv_heads
    out = torch.full_like(inputs.q, float("nan"))
    parts = torch.zeros(pairs * call.splits * PART_NUMBERS, device="cuda")
    k, v = cache
    tensors = (inputs.q, k.numbers, v.numbers, k.scale, v.scale, inputs.alpha, inputs.beta, out, parts)
    scale, norm = (SIGMA**-2, -0.5 * SIGMA**-2) if variant == KRAUSE else (WIDTH**-0.5, 0.0)

    def run() -> Tensor:
        status = own.quantized_decode(
            KINDS[kind],
            int(variant == KRAUSE),
            *map(_address, tensors),
            pairs,
            group,
            call.keys,
            call.splits,
            ctypes.c_float(scale),
            ctypes.c_float(norm),
            ctypes.c_void_p(torch.cuda.current_stream().cuda_stream),
        )
        assert status == 0
        return out

    return run


def dequantize(own: ctypes.CDLL, cache: Rounded, kind: str) -> Callable[[], Tensor]:
    """Writes one tensor of a cache as halves."""
    assert cache.scale is not None
    wide = torch.empty(cache.numbers.shape, dtype=torch.half, device="cuda")
    pairs = cache.scale.numel()

    def run() -> Tensor:
        addresses = map(_address, (cache.numbers, wide, cache.scale))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        of_pair = ctypes.c_int64(cache.numbers.numel() // pairs)
        assert own.quantized_dequantize(KINDS[kind], *addresses, ctypes.c_int64(pairs), of_pair, stream) == 0
        return wide

    return run


def _address(x: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(0 if x is None else x.data_ptr())


def decoding(library: Library, own: ctypes.CDLL) -> None:
    """A row a shape, variant and kind of cache."""
    print("| variant | shape | cache | ms | GB/s | error | error to unrounded |\n|---|---|---|---:|---:|---:|---:|")
    for call in CALLS:
        inputs = Inputs.of(call)
        group, halves = call.heads // call.kv_heads, 2 * inputs.k.numel() * 2
        for variant in (AFFINE, KRAUSE):
            exact = inputs.exact(variant, inputs.k[-1, 0], inputs.v[-1, 0])
            run = run_library(library, variant, inputs)
            error, ms = _error(run()[-1, :group, 0], exact), replay_time(run)
            print(f"| {variant} | {call.name} | library, half | {ms:.4f} | {halves / ms / 1e6:.0f} | {error} | |")
            for kind in KINDS:
                cache = Rounded.of(inputs.k, kind), Rounded.of(inputs.v, kind)
                run = run_own(own, variant, inputs, cache, kind, call)
                given = run()[-1, :group, 0].clone()
                meant = inputs.exact(variant, cache[0].last(), cache[1].last())
                ms, size = replay_time(run), 2 * cache[0].numbers.numel() * cache[0].numbers.element_size()
                errors = f"{_error(given, meant)} | {_error(given, exact)}"
                print(f"| {variant} | {call.name} | own, {kind} | {ms:.4f} | {size / ms / 1e6:.0f} | {errors} |")
                if kind != "half" and variant == AFFINE:
                    ms = replay_time(dequantize(own, cache[0], kind))
                    print(f"| | {call.name} | dequantizing one of the two, {kind} | {ms:.4f} | | | |", flush=True)
        torch.cuda.empty_cache()


def whole(library: Library, narrow: Library) -> None:
    """Affine-scaled attention without a sum, all rows, with halves and with queries and keys in e4m3."""
    print("| affine, full | q and k | ms | error | error to unrounded |\n|---|---|---:|---:|---:|")
    for batch, heads, tokens, width in ((4, 16, 4096, 64), (2, 16, 8192, 128)):
        q, k, v = (torch.randn(batch, heads, tokens, width, device="cuda").half() for _ in range(3))
        alpha = torch.ones(batch, heads, tokens, device="cuda").half()
        e4m3 = [x.to(torch.float8_e4m3fn) for x in (q, k)]
        exact, meant = (_softmax(a, b, v) for a, b in ((q, k), e4m3))
        for name, with_library, (a, b), own in (
            ("half", library, (q, k), exact),
            ("e4m3", narrow, [x.view(torch.half) for x in e4m3], meant),
        ):
            tensors = {"q": a, "k": b, "v": v, "alpha": alpha, "beta": torch.zeros_like(alpha)}
            options = {"scale": width**-0.5, "causal": False}
            run = partial(run_op, with_library.ops["AffineScaledAttention"], tensors, options)
            given, times = run()[-1, -1], sorted(replay_time(run) for _ in range(3))
            shape = f"B{batch} H{heads} N{tokens} D{width}"
            errors = f"{_error(given, own)} | {_error(given, exact)}"
            print(f"| {shape} | {name} | {times[0]:.3f} to {times[-1]:.3f} | {errors} |", flush=True)


def _softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The last head of softmax attention in float64."""
    scores = q[-1, -1].double() @ k[-1, -1].double().T * q.shape[-1] ** -0.5
    return scores.softmax(-1) @ v[-1, -1].double()


def _error(given: Tensor, exact: Tensor) -> str:
    return f"{(given.double() - exact).abs().max().item():.1e}"


def main() -> None:
    """Prints both tables."""
    torch.manual_seed(0)
    library = load_library(Path(sys.argv[1]))
    decoding(library, ctypes.CDLL(sys.argv[2]))
    if len(sys.argv) > 3:
        whole(library, load_library(Path(sys.argv[3])))


if __name__ == "__main__":
    main()
