"""Trains the character models on the text of CPython's pydoc_data/topics.py and saves them beside this file."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

import attnexport  # noqa: E402
from samples.language.model import VARIANTS, build  # noqa: E402
from samples.language.text import encode, evaluate, next_character_loss, spread_rows  # noqa: E402

LENGTH, BATCH, RATE = 128, 16, 3e-3
TEST_ROWS = 32
LEAST_ACCURACY = 0.45


def corpus() -> str:
    """Every paragraph of the topics once, in the order of the file: topics quote each other at length."""
    return "\n\n".join(dict.fromkeys("\n\n".join(topics.values()).split("\n\n")))


def train(variant: str, tokens: Tensor, *, seed: int, steps: int) -> nn.Module:
    """A model trained on random windows of tokens (characters,)."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build(variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(steps):
        starts = torch.randint(len(tokens) - LENGTH, (BATCH, 1), generator=generator)
        loss = next_character_loss(model, tokens, starts, length=LENGTH)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, help="default: krause and hla")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the saved models")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    text = corpus()
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"Python {platform.python_version()}, {len(text)} characters, SHA-256 {digest}")
    encoded = encode(text)
    cut = len(encoded) * 9 // 10
    tokens, labels = spread_rows(encoded[cut:], TEST_ROWS, LENGTH)
    options.output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output / "test.npz", tokens=tokens.numpy(), labels=labels.numpy())
    for variant in options.variant or ("krause", "hla"):
        start = time.process_time()
        model = train(variant, encoded[:cut], seed=options.seed, steps=options.steps)
        reached, bits = evaluate(model, tokens, labels)
        seconds = time.process_time() - start
        print(
            f"{variant:7} accuracy {reached:.2%}, {bits:.3f} bits per character, {seconds:.0f} s of CPU time",
            flush=True,
        )
        if reached < LEAST_ACCURACY:
            raise SystemExit(f"{variant}: not saved, {reached:.2%} is below {LEAST_ACCURACY:.0%}")
        length = torch.export.Dim("length", min=2, max=4096)
        attnexport.save(
            model,
            options.output / f"{variant}.pt2",
            args=(tokens[:2].clone(),),
            dynamic_shapes={"tokens": {0: "batch", 1: length}},
        )


if __name__ == "__main__":
    main()
