"""Trains the code models on the sources of Python's standard library and saves their weights in half."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

from samples.code.data import LENGTH, ROWS, corpus  # noqa: E402
from samples.code.model import VARIANTS, build  # noqa: E402
from samples.language.text import encode, evaluate, next_character_loss, spread_rows  # noqa: E402
from samples.training import save_half, train_for  # noqa: E402

BATCH, RATE = 64, 1.5e-3
LEAST_ACCURACY = 0.6


def train(variant: str, tokens: Tensor, *, seed: int, seconds: float) -> nn.Module:
    """A model trained for so long on random windows of tokens (characters,), its weights rounded to half."""
    torch.manual_seed(seed)
    model = build(variant).to(tokens.device)
    generator = torch.Generator(tokens.device).manual_seed(seed)

    def loss_of_batch() -> Tensor:
        starts = torch.randint(len(tokens) - LENGTH, (BATCH, 1), generator=generator, device=tokens.device)
        return next_character_loss(model, tokens, starts, length=LENGTH)

    return train_for(seconds, model, loss_of_batch, rate=RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all three")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=400, help="of training for each variant")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the saved weights")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("high")
    text = corpus()
    digest = hashlib.sha256((text.learnt + text.held_out).encode()).hexdigest()
    print(f"Python {platform.python_version()}, {len(text.learnt)} characters, SHA-256 of all {digest}")
    learnt = encode(text.learnt).to(device)
    tokens, labels = (part.to(device) for part in spread_rows(encode(text.held_out), ROWS, LENGTH))
    options.output.mkdir(parents=True, exist_ok=True)
    for variant in options.variant:
        start = time.monotonic()
        model = train(variant, learnt, seed=options.seed, seconds=options.seconds)
        reached, bits = evaluate(model, tokens, labels)
        seconds = time.monotonic() - start
        print(f"{variant:7} accuracy {reached:.2%}, {bits:.3f} bits per character, {seconds:.0f} s", flush=True)
        if reached < LEAST_ACCURACY:
            raise SystemExit(f"{variant}: not saved, {reached:.2%} is below {LEAST_ACCURACY:.0%}")
        save_half(model, options.output / f"{variant}.safetensors")


if __name__ == "__main__":
    main()
