"""Affine-scaled and Krause attention at shapes that people deploy, beside what they would replace, in one run:
python -m benchmarks.gpu.deployed_shapes LIBRARY...

fp16, medians of CUDA-graph replays through the operators of each kernel library. Peers: softmax attention by the faster
of cuDNN and flash (affine), and FlexAttention with the key bias as score_mod and a block mask (Krause).
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
from torch.nn.attention.flex_attention import create_block_mask

from attnexport.errors import AttnexportError
from attnexport.plugins.calling.library import Library, load_library
from attnexport.plugins.calling.torch_calls import run_op
from benchmarks.gpu.compare_peers import NO_GRID, flex, replay_time

SIGMA = 2.5


@dataclass(frozen=True)
class Sizes:
    """A call's sizes; rows below keys is decoding."""

    name: str
    batch: int
    heads: int
    kv_heads: int
    rows: int
    keys: int
    width: int
    causal: bool = False

    @property
    def shape(self) -> str:
        """For the table."""
        tokens = f"N{self.rows}" if self.rows == self.keys else f"N{self.rows}M{self.keys}"
        return f"B{self.batch}H{self.heads}/{self.kv_heads}{tokens}D{self.width}{'c' if self.causal else ''}"


CALLS = (
    Sizes("ViT-B 197", 16, 12, 12, 197, 197, 64),
    Sizes("ViT-L 577", 8, 16, 16, 577, 577, 64),
    Sizes("batch 1 ViT-B 197", 1, 12, 12, 197, 197, 64),
    Sizes("LLM prefill 2k", 1, 32, 8, 2048, 2048, 128, causal=True),
    Sizes("LLM prefill 8k", 1, 32, 8, 8192, 8192, 128, causal=True),
    Sizes("video 16k", 1, 12, 12, 16384, 16384, 128),
    Sizes("width 80", 4, 16, 16, 1024, 1024, 80),
    Sizes("width 96", 4, 12, 12, 2048, 2048, 96, causal=True),
    Sizes("width 256", 2, 8, 8, 2048, 2048, 256, causal=True),
    Sizes("decoding", 1, 32, 8, 1, 4096, 128),
    Sizes("decoding", 8, 32, 8, 1, 8192, 128),
    Sizes("decoding", 64, 32, 8, 1, 8192, 128),
    Sizes("decoding", 8, 16, 16, 1, 32768, 128),
)


def make_inputs(sizes: Sizes, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """Random queries, keys and values."""
    heads = {"q": (sizes.heads, sizes.rows), "k": (sizes.kv_heads, sizes.keys), "v": (sizes.kv_heads, sizes.keys)}
    return {name: torch.randn(sizes.batch, *own, sizes.width, device="cuda").to(dtype) for name, own in heads.items()}


def affine(library: Library, inputs: dict[str, Tensor], sizes: Sizes) -> Callable[[], object]:
    """Our call."""
    factor = torch.rand(inputs["q"].shape[:3], device="cuda").half()
    options = {"scale": sizes.width**-0.5, "causal": sizes.causal}
    return partial(run_op, library.ops["AffineScaledAttention"], {**inputs, "alpha": factor, "beta": factor}, options)


def krause(library: Library, inputs: dict[str, Tensor], sizes: Sizes) -> Callable[[], object]:
    """Our call without a window."""
    options = {"window": 0, "top_k": 0, "causal": sizes.causal, **NO_GRID}
    sigma = torch.tensor(SIGMA, device="cuda").half()
    return partial(run_op, library.ops["KrauseAttention"], {**inputs, "sigma": sigma}, options)


def softmax_time(inputs: dict[str, Tensor], sizes: Sizes) -> float:
    """Milliseconds of the faster backend."""
    q, k, v = inputs.values()

    def run(backend: SDPBackend) -> Tensor:
        with sdpa_kernel([backend]):
            return F.scaled_dot_product_attention(q, k, v, is_causal=sizes.causal, enable_gqa=True)

    times = []
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
        try:
            times.append(replay_time(partial(run, backend)))
        except RuntimeError:
            continue
    return min(times, default=float("nan"))


def flex_time(inputs: dict[str, Tensor], sizes: Sizes) -> float:
    """Milliseconds of Krause attention through FlexAttention; NaN for decoding."""
    if sizes.rows != sizes.keys:
        return float("nan")
    q, k, v = inputs.values()
    group, mask = sizes.heads // sizes.kv_heads, None
    bias = -0.5 * SIGMA**-2 * k.float().square().sum(-1)
    if sizes.causal:
        mask = create_block_mask(lambda b, h, i, j: j <= i, None, None, sizes.rows, sizes.keys)
    return replay_time(
        lambda: flex(
            q,
            k,
            v,
            lambda s, b, h, i, j: s + bias[b, h // group, j],
            block_mask=mask,
            scale=SIGMA**-2,
            enable_gqa=group > 1,
        )
    )


def print_rows(libraries: list[Library], sizes: Sizes) -> None:
    """The two lines of one call."""
    inputs = make_inputs(sizes)
    for name, make, peer in (("affine", affine, softmax_time), ("Krause", krause, flex_time)):
        try:
            own = [replay_time(make(library, inputs, sizes)) for library in libraries]
            other = peer(inputs, sizes)
        except (RuntimeError, AttnexportError) as error:
            print(f"| {name}, {sizes.name} | {sizes.shape} | not run: {str(error).splitlines()[0]} |", flush=True)
            continue
        ours = " | ".join(f"{time:.4f}" for time in own)
        print(f"| {name}, {sizes.name} | {sizes.shape} | {ours} | {other:.4f} | {own[-1] / other:.2f} |", flush=True)


def main() -> None:
    """Prints one Markdown row a call; the ratio is the last library's."""
    torch.manual_seed(0)
    libraries = [load_library(path) for path in sys.argv[1:]]
    columns = " | ".join(f"{path}, ms" for path in sys.argv[1:])
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print(f"| call | shape | {columns} | peer, ms | ours / peer |\n|---|---|{'---:|' * (len(libraries) + 2)}")
    for sizes in CALLS:
        torch._dynamo.reset()  # or it stops compiling FlexAttention after eight shapes
        print_rows(libraries, sizes)


if __name__ == "__main__":
    main()
