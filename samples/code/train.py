"""Trains the code models on the sources of Python's standard library and saves their weights in half."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import platform
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

from samples.code.model import VARIANTS, build  # noqa: E402
from samples.language.train import encode  # noqa: E402
from samples.schedule import timed_steps  # noqa: E402

LENGTH, BATCH, RATE = 256, 64, 1.5e-3
TEST_ROWS = 64
LEAST_ACCURACY = 0.6
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo", "pydoc_data"}


def corpus() -> tuple[str, str]:
    """The library's sources to train on, and those held out, a tenth of the files chosen by their names."""
    library = Path(os.__file__).parent
    parts: tuple[list[str], list[str]] = ([], [])
    for path in sorted(library.rglob("*.py")):
        inside = path.relative_to(library)
        if not _LEFT_OUT.intersection(inside.parts):
            held_out = zlib.crc32(inside.as_posix().encode()) % 10 == 0
            parts[held_out].append(path.read_text(encoding="utf-8", errors="replace"))
    return "".join(parts[0]), "".join(parts[1])


def held_out_rows(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Evenly spread rows of tokens (characters,) and the characters that follow, both (TEST_ROWS, LENGTH)."""
    starts = torch.linspace(0, len(tokens) - LENGTH - 1, TEST_ROWS).long()
    rows = tokens[starts[:, None] + torch.arange(LENGTH + 1)]
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def evaluate(model: nn.Module, tokens: Tensor, labels: Tensor) -> tuple[float, float]:
    """Next-character accuracy and bits per character over tokens and labels (B, N)."""
    with torch.no_grad():
        logits = model.eval()(tokens)
    bits = F.cross_entropy(logits.flatten(0, 1), labels.flatten()).item() / math.log(2)
    return float((logits.argmax(-1) == labels).double().mean()), bits


def train(variant: str, tokens: Tensor, *, seed: int, seconds: float) -> nn.Module:
    """A model trained for so long on random windows of tokens (characters,), its weights rounded to half."""
    torch.manual_seed(seed)
    model = build(variant).to(tokens.device)
    generator = torch.Generator(tokens.device).manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05, betas=(0.9, 0.98))
    window = torch.arange(LENGTH + 1, device=tokens.device)
    for step in timed_steps(optimizer, RATE, seconds):
        starts = torch.randint(len(tokens) - LENGTH, (BATCH, 1), generator=generator, device=tokens.device)
        rows = tokens[starts + window]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 250 == 0:
            print(f"{variant:7} step {step}: loss {loss.item():.4f}", flush=True)
    return model.half().float().eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all three")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=400, help="of training for each variant")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the saved weights and the test rows")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("high")
    learnt, held_out = corpus()
    digest = hashlib.sha256((learnt + held_out).encode()).hexdigest()
    print(
        f"Python {platform.python_version()}, {len(learnt)} characters and {len(held_out)} held out, SHA-256 {digest}"
    )
    train_tokens = encode(learnt).to(device)
    tokens, labels = held_out_rows(encode(held_out))
    options.output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output / "test.npz", tokens=tokens.numpy(), labels=labels.numpy())
    for variant in options.variant:
        start = time.monotonic()
        model = train(variant, train_tokens, seed=options.seed, seconds=options.seconds)
        reached, bits = evaluate(model, tokens.to(device), labels.to(device))
        seconds = time.monotonic() - start
        print(f"{variant:7} accuracy {reached:.2%}, {bits:.3f} bits per character, {seconds:.0f} s", flush=True)
        if reached < LEAST_ACCURACY:
            raise SystemExit(f"{variant}: not saved, {reached:.2%} is below {LEAST_ACCURACY:.0%}")
        weights = {name: value.half().contiguous().cpu() for name, value in model.state_dict().items()}
        save_file(weights, options.output / f"{variant}.safetensors")


if __name__ == "__main__":
    main()
