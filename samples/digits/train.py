"""Trains the five digit models on scikit-learn's handwritten digits and saves them beside this file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

import attnexport  # noqa: E402
from samples.digits.model import VARIANTS, build  # noqa: E402

TEST_IMAGES = 360
BATCH, RATE = 48, 2e-3
SHIFTED = 0.3
LEAST_ACCURACY = {"krause": 0.95, "hla": 0.92, "ssa": 0.92, "affine": 0.95, "topn": 0.95}


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fixed split: training images (1437, 8, 8) and labels (1437,), test images (360, 8, 8) and labels (360,)."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 8, 8)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels.astype(np.int64), test_size=TEST_IMAGES, stratify=labels, random_state=0
    )
    return tuple(torch.from_numpy(part) for part in (train_x, train_y, test_x, test_y))  # type: ignore[return-value]


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Moves some of the images (B, 8, 8) by up to one pixel a side; what enters is black."""
    offsets = torch.randint(0, 3, (2, len(images), 1), generator=generator) + torch.arange(images.shape[1])
    padded = F.pad(images, (1, 1, 1, 1))
    moved = padded[torch.arange(len(images))[:, None, None], offsets[0, :, :, None], offsets[1, :, None, :]]
    chosen = torch.rand(len(images), 1, 1, generator=generator) < SHIFTED
    return torch.where(chosen, moved, images)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images (B, 8, 8) whose largest logit is at the label (B,)."""
    with torch.no_grad():
        predictions = model.eval()(images).argmax(-1)
    return float((predictions == labels).double().mean())


def train(variant: str, images: Tensor, labels: Tensor, *, seed: int, epochs: int) -> nn.Module:
    """A model trained on images (B, 8, 8) and labels (B,)."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build(variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(BATCH)[: len(images) // BATCH]:
            logits = model(shifted(images[batch], generator))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, help="default: all five")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the saved models")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    train_x, train_y, test_x, test_y = digits()
    options.output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output / "test.npz", image=test_x.numpy(), labels=test_y.numpy())
    for variant in options.variant or VARIANTS:
        start = time.process_time()
        model = train(variant, train_x, train_y, seed=options.seed, epochs=options.epochs)
        reached, least = accuracy(model, test_x, test_y), LEAST_ACCURACY[variant]
        print(f"{variant:7} test accuracy {reached:.2%}, {time.process_time() - start:.0f} s of CPU time", flush=True)
        if reached < least:
            raise SystemExit(f"{variant}: not saved, {reached:.2%} is below {least:.0%}")
        attnexport.save(
            model,
            options.output / f"{variant}.pt2",
            args=(test_x[:2].clone(),),
            dynamic_shapes={"image": {0: "batch"}},
        )


if __name__ == "__main__":
    main()
