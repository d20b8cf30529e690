"""Selections at the sizes of the tables, at deployed shapes, when decoding and under unfriendly orders of the keys,
beside attention without a selection, in one run: python -m benchmarks.gpu.selections LIBRARY [OLDER LIBRARY].

Medians of CUDA-graph replays. Peers: softmax attention by the faster of cuDNN and flash (top-N), the same call
without top-k (Krause, selective synchronization); torch.topk alone on scores that lie in memory is printed below. fp16;
the sizes of the tables in the other types, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from attnexport.errors import AttnexportError
from attnexport.plugins.calling.library import Library, load_library
from attnexport.plugins.calling.torch_calls import run_op
from benchmarks.gpu.compare_peers import NO_GRID, replay_time
from benchmarks.gpu.deployed_shapes import CALLS, SIGMA, Sizes, make_inputs, softmax_time

TABLES = (Sizes("table", 4, 16, 16, 4096, 4096, 64), Sizes("table", 2, 16, 16, 8192, 8192, 128))
COUNTS = (8, 32, 64, 100, 128, 192)
WINDOW, REPEATS = 256, 15
Inputs = dict[str, Tensor]
Run = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """A call by a library, and what it is compared with."""

    name: str
    ours: Callable[[Library], Run]
    peer: Callable[[Library], float]


def top_n(count: int, inputs: Inputs, sizes: Sizes, library: Library, renormalize: bool = True) -> Run:
    """Top-N attention."""
    options = {"n": count, "scale": sizes.width**-0.5, "renormalize": renormalize, "causal": sizes.causal}
    return partial(run_op, library.ops["TopNAttention"], inputs, options)


def krause(count: int, inputs: Inputs, library: Library) -> Run:
    """Krause attention over a causal window."""
    options = {"window": WINDOW, "top_k": count, "causal": True, **NO_GRID}
    sigma = torch.tensor(SIGMA, device="cuda", dtype=inputs["q"].dtype)
    return partial(run_op, library.ops["KrauseAttention"], {**inputs, "sigma": sigma}, options)


def ssa(count: int, inputs: Inputs, library: Library) -> Run:
    """Selective synchronization attention."""
    q, k, v = inputs.values()
    arguments = {"omega_q": q * q.shape[-1] ** -0.5, "omega_k": k * k.shape[-1] ** -0.5, "theta": k, "v": v}
    arguments["coupling"] = torch.tensor(8.0, device="cuda", dtype=q.dtype)
    arguments["alpha"] = torch.full((q.shape[1],), 0.5, device="cuda", dtype=q.dtype)
    options = {"top_k": count, "causal": False, "eps": 1e-8}
    return partial(run_op, library.ops["SelectiveSynchronizationAttention"], arguments, options)


def lines(sizes: Sizes, dtype: torch.dtype = torch.float16) -> Iterator[Line]:
    """The calls at one shape."""
    inputs, is_table = make_inputs(sizes, dtype), sizes.name == "table"
    softmax = softmax_time(inputs, sizes)
    for count in COUNTS if is_table and dtype == torch.float16 else (64,) if is_table else (32,):
        yield Line(f"top-N {count}", partial(top_n, count, inputs, sizes), lambda _: softmax)
    if sizes.rows == sizes.keys and (sizes.causal or is_table):
        yield Line(
            "Krause, window, top-k 64", partial(krause, 64, inputs), partial(time_of, partial(krause, 0, inputs))
        )
    if is_table:
        plain = partial(top_n, 64, inputs, sizes, renormalize=False)
        yield Line("top-N 64, not renormalised", plain, lambda _: softmax)
        yield Line("SSA, top-k 64", partial(ssa, 64, inputs), partial(time_of, partial(ssa, 0, inputs)))


def time_of(call: Callable[[Library], Run], library: Library) -> float:
    """Milliseconds of a call by a library."""
    return replay_time(call(library), REPEATS)


def orders(keys: int) -> dict[str, Tensor]:
    """Whole numbers that rank the keys."""
    place = torch.arange(keys)
    repeated = torch.randperm(128, generator=torch.Generator().manual_seed(0))[place % 128]
    return {
        "ascending": place,
        "descending": keys - place,
        "all equal": torch.zeros(keys),
        "blocks of 64 duplicates": place // 64 % 7,
        "repeated every 128": repeated,
        "one-hot": place == keys // 2,
    }


def ranking(sizes: Sizes, order: Tensor) -> Inputs:
    """Inputs whose scores are these numbers."""
    inputs, number = make_inputs(sizes), order.double().cuda()
    high = number.div(64, rounding_mode="floor")
    q, k = torch.zeros_like(inputs["q"]), torch.zeros_like(inputs["k"])
    q[..., 0], q[..., 1] = 64, 1
    k[..., 0], k[..., 1] = high.half(), (number - 64 * high).half()
    return {**inputs, "q": q, "k": k}


def print_line(line: Line, shape: str, libraries: list[Library]) -> None:
    """One row of the table: every library's time, the peer's, and how often the peer's the first one is."""
    try:
        own = [replay_time(line.ours(library), REPEATS) for library in libraries]
        other = line.peer(libraries[0])
    except (RuntimeError, AttnexportError, KeyError) as error:
        print(f"| {line.name} | {shape} | not run: {str(error).splitlines()[0]} |", flush=True)
        return
    times = " | ".join(f"{time:.4f}" for time in own)
    print(f"| {line.name} | {shape} | {times} | {other:.4f} | {own[0] / other:.2f} |", flush=True)


def print_orders(libraries: list[Library]) -> None:
    """Top-N 64 of keys in unfriendly orders, many rows and few; the peer is the same call on random keys."""
    for sizes in (Sizes("many rows", 1, 16, 16, 4096, 4096, 64), Sizes("few rows", 1, 16, 16, 1, 16384, 64)):
        random = partial(time_of, partial(top_n, 64, make_inputs(sizes), sizes))
        for name, order in orders(sizes.keys).items():
            ours = partial(top_n, 64, ranking(sizes, order), sizes)
            print_line(Line(f"top-N 64, {name}", ours, random), sizes.shape, libraries)


def print_header(paths: list[str]) -> None:
    """Of a table with a column a library."""
    columns = " | ".join(f"{path}, ms" for path in paths)
    print(f"\n| call | shape | {columns} | peer, ms | ratio |\n|---|---|{'---:|' * (len(paths) + 2)}")


def main() -> None:
    """Prints one Markdown row a call of the first library, and of the orders one of every library."""
    torch.manual_seed(0)
    libraries = [load_library(path) for path in sys.argv[1:]]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print_header(sys.argv[1:2])
    others = [(TABLES[0], torch.bfloat16), (TABLES[1], torch.bfloat16), (TABLES[0], torch.float32)]
    for sizes, dtype in (*((sizes, torch.float16) for sizes in (*TABLES, *CALLS)), *others):
        for line in lines(sizes, dtype):
            print_line(line, f"{sizes.shape} {str(dtype).removeprefix('torch.')}", libraries[:1])
        torch.cuda.empty_cache()
    print_header(sys.argv[1:])
    print_orders(libraries)
    scores = torch.randn(64 * 4096, 4096, device="cuda").half()
    print(f"\ntorch.topk 64 of {tuple(scores.shape)} scores: {replay_time(partial(torch.topk, scores, 64), 5):.3f} ms")


if __name__ == "__main__":
    main()
