"""Training for a given time, the learning rate a function of the time that has passed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WARM_UP = 0.05
_STEPS_BETWEEN_LINES = 250


def train_for(seconds: float, model: nn.Module, loss_of_batch: Callable[[], Tensor], *, rate: float) -> nn.Module:
    """Trains a model by AdamW and rounds its weights to half.

    The rate rises over the first 5 % of the time and falls as a cosine.

    Args:
        seconds: for how long.
        model: on its device.
        loss_of_batch: draws a batch and gives the model's loss on it.
        rate: the largest learning rate.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / seconds) < 1:
        share = done / WARM_UP if done < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(share, 1e-3)
        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % _STEPS_BETWEEN_LINES == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
        step += 1
    return model.half().float().eval()


def save_half(model: nn.Module, path: Path) -> None:
    """Writes the weights in half as .safetensors."""
    save_file({name: value.half().contiguous().cpu() for name, value in model.state_dict().items()}, path)
