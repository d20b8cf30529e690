"""Time and memory of ``attnexport build`` for TensorRT-RTX: python -m benchmarks.build_engines [LIBRARY].

A transformer of twelve layers of width 384 with random weights, dynamic batch and tokens, for SM 120 and without a GPU:
through bodies and, given a plugin library for that target, with plugins.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import attnexport
from attnexport.engines.manifest_json import read_manifest

DIM, HEADS, LAYERS, CLASSES = 384, 6, 12, 1000
SHAPES = "input=1x16x384:8x196x384:32x1024x384"
TARGET = "rtx-50"
SECONDS, GIBIBYTES = 60, 4
"""The most that a build may take on two cores."""

ATTENTION: dict[str, Callable[[], nn.Module]] = {
    "krause": lambda: attnexport.KrauseAttention(DIM, HEADS, window=64, causal=True),
    "hla": lambda: attnexport.HadamardLinearAttention(DIM, HEADS, factors=2, features=8),
    "ssa": lambda: attnexport.SelectiveSynchronizationAttention(DIM, HEADS),
    "affine": lambda: attnexport.AffineScaledAttention(DIM, HEADS),
    "topn": lambda: attnexport.TopNAttention(DIM, HEADS, n=16),
}


class Layer(nn.Module):
    """Attention and an MLP, each behind a layer norm and added to its input."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, DIM) to (B, N, DIM)."""
        x = x + self.attention(self.attention_norm(x))
        mixed: Tensor = x + self.mlp(self.mlp_norm(x))
        return mixed


def transformer(names: list[str]) -> nn.Module:
    """Twelve layers, whose attention goes through the names in turn."""
    torch.manual_seed(0)
    layers = [Layer(ATTENTION[names[index % len(names)]]()) for index in range(LAYERS)]
    return nn.Sequential(*layers, nn.LayerNorm(DIM), nn.Linear(DIM, CLASSES)).eval()


@dataclass(frozen=True)
class Figure:
    """What a build took: seconds of the command and of TensorRT in it, gibibytes of both processes at their largest."""

    command: float
    building: float
    gibibytes: float
    engine_mebibytes: float


def measure(model: Path, *options: str) -> Figure:
    """Builds in a process of its own."""
    engine = model.with_suffix(".engine")
    command = ["build", str(model), "-o", str(engine), "--target", TARGET, "--shapes", SHAPES, *options]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "attnexport.cli", *command], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    manifest = read_manifest(engine)
    assert manifest.peak_bytes is not None
    # The largest of all processes so far: the command, or TensorRT's process, which is then counted twice.
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Figure(seconds, manifest.seconds, (largest + manifest.peak_bytes) / 2**30, manifest.engine_bytes / 2**20)


def main() -> None:
    """Prints the table; exit code 1 if a build took more than it may."""
    library = sys.argv[1] if len(sys.argv) > 1 else None
    plain: list[tuple[str, list[str]]] = [("bodies, fp32", []), ("bodies, fp16", ["--precision", "fp16"])]
    if library is not None:
        plain.append(
            ("plugins, fp16, library inside", ["--precision", "fp16", "--plugins", library, "--embed-plugins"])
        )
    within = True
    print("| model | built | command, s | TensorRT, s | memory, GiB | engine, MiB |\n|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for title, names in (("krause", ["krause"]), ("all five in turn", list(ATTENTION))):
            path = Path(folder) / "model.onnx"
            dims = {"input": {0: "batch", 1: "tokens"}}
            attnexport.convert(transformer(names), torch.randn(2, 100, DIM), path, dynamic_shapes=dims)
            for kind, options in plain:
                taken = measure(path, *options)
                print(
                    f"| {title} | {kind} | {taken.command:.1f} | {taken.building:.1f} | {taken.gibibytes:.2f} "
                    f"| {taken.engine_mebibytes:.0f} |"
                )
                within &= taken.command <= SECONDS and taken.gibibytes <= GIBIBYTES
    if not within:
        raise SystemExit(f"expected at most {SECONDS} s and {GIBIBYTES} GiB")


if __name__ == "__main__":
    main()
