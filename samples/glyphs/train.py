"""Trains the glyph models on drawn data and saves their weights in half beside this file, as .safetensors."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

from samples.glyphs.data import TEST_IMAGES, TEST_SEED, Glyphs, draw  # noqa: E402
from samples.glyphs.model import VARIANTS, build  # noqa: E402
from samples.training import save_half, train_for  # noqa: E402

BATCH, RATE = 256, 1e-3
LEAST_ACCURACY = 0.8


def tensors_of(glyphs: Glyphs, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (B, 28, 28) and labels (B,) on a device."""
    return torch.from_numpy(glyphs.image).to(device), torch.from_numpy(glyphs.labels).to(device)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images (B, 28, 28) whose largest logit is at the label (B,)."""
    model.eval()
    with torch.no_grad():
        right = [
            int((model(some).argmax(-1) == of).sum())
            for some, of in zip(images.split(500), labels.split(500), strict=True)
        ]
    return sum(right) / len(labels)


def train(variant: str, images: Tensor, labels: Tensor, *, seed: int, seconds: float) -> nn.Module:
    """A model trained for so long on images (B, 28, 28) and labels (B,), its weights rounded to half."""
    torch.manual_seed(seed)
    model = build(variant).to(images.device)
    generator = torch.Generator(images.device).manual_seed(seed)

    def loss_of_batch() -> Tensor:
        batch = torch.randint(len(images), (BATCH,), generator=generator, device=images.device)
        return F.cross_entropy(model(images[batch]), labels[batch], label_smoothing=0.1)

    return train_for(seconds, model, loss_of_batch, rate=RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all")
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=400, help="of training for each variant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the saved weights")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("high")
    images, labels = tensors_of(draw(options.images, options.seed, workers=options.workers), device)
    test = tensors_of(draw(TEST_IMAGES, TEST_SEED, workers=options.workers), device)
    options.output.mkdir(parents=True, exist_ok=True)
    for variant in options.variant:
        start = time.monotonic()
        model = train(variant, images, labels, seed=options.seed, seconds=options.seconds)
        reached = accuracy(model, *test)
        print(f"{variant:7} test accuracy {reached:.2%}, {time.monotonic() - start:.0f} s", flush=True)
        if reached < LEAST_ACCURACY:
            raise SystemExit(f"{variant}: not saved, {reached:.2%} is below {LEAST_ACCURACY:.0%}")
        save_half(model, options.output / f"{variant}.safetensors")


if __name__ == "__main__":
    main()
