"""Time and memory of attnexport check beside what the reference and the contender take alone.

python -m benchmarks.check_overhead [IMAGES]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import attnexport
from attnexport.accuracy.check.check import check
from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.accuracy.contenders.opening import Opener
from attnexport.accuracy.contenders.texts import parse_contender
from attnexport.accuracy.contenders.torch_runs import REFERENCE, TorchRuns
from attnexport.accuracy.inputs.files import data_batches
from attnexport.conversion.converting import convert
from attnexport.models.loading.sources import load_model

WIDTH, HEADS, LAYERS, PATCH, SIZE, CLASSES = 384, 6, 12, 16, 224, 1000


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = attnexport.AffineScaledAttention(WIDTH, HEADS)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


class VisionTransformer(nn.Module):
    """12 layers of width 384 on 196 patches of an image (B, 3, 224, 224)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits


def prepare(folder: Path, images: int) -> None:
    """Model, ONNX file and data."""
    model = folder / "vit.pt2"
    example = torch.randn(2, 3, SIZE, SIZE)
    attnexport.save(VisionTransformer().eval(), model, args=example, dynamic_shapes={"image": {0: "batch"}})
    convert(load_model(model), None, folder / "vit.onnx")
    random = np.random.default_rng(0)
    np.savez(folder / "images.npz", image=random.standard_normal((images, 3, SIZE, SIZE), dtype=np.float32))


def measure(what: str, folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and the largest resident MiB; loading is not timed."""
    model = load_model(folder / "vit.pt2")
    cache = OutputCache(folder / "cache" if "cached" in what else None)
    runs = TorchRuns(model, cache)
    contender = Opener(runs).open(parse_contender(str(folder / "vit.onnx")))
    batches = data_batches(model, folder / "images.npz")
    start, busy = time.perf_counter(), time.process_time()
    if what == "reference":
        for batch in batches:
            runs.compute(batch.tensors, REFERENCE)
    elif what == "contender":
        for batch in batches:
            contender.outputs(batch)
    else:
        assert check(runs, [contender], batches).passed
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    return seconds, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    if len(sys.argv) == 3:
        print(*measure(sys.argv[1], Path(sys.argv[2])))
        return
    images = int(sys.argv[1]) if len(sys.argv) == 2 else 256
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), images)
        seconds: dict[str, list[float]] = {}
        print(f"{images} images, {LAYERS} layers of width {WIDTH}, {torch.get_num_threads()} threads")
        for what in ("reference", "contender", "check", "check, then cached", "check, cached"):
            command = [sys.executable, "-m", "benchmarks.check_overhead", what, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            *seconds[what], peak = map(float, done.stdout.split())
            clock, processor = seconds[what]
            print(f"{what:20} {clock:7.1f} s {processor:7.1f} s of the processor {peak:7.0f} MiB", flush=True)
        for position, kind in enumerate(("clock", "processor")):
            alone = seconds["reference"][position] + seconds["contender"][position]
            print(f"check / (reference + contender), {kind}: {seconds['check'][position] / alone:.2f}")


if __name__ == "__main__":
    main()
