"""Training for a given time: steps until it is over, the learning rate a function of the time that has passed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from torch.optim import Optimizer

WARM_UP = 0.05


def timed_steps(optimizer: Optimizer, rate: float, seconds: float) -> Iterator[int]:
    """Numbers of steps for so long; each sets the rate, which rises over 5 % of the time and falls as a cosine."""
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / seconds) < 1:
        share = done / WARM_UP if done < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(share, 1e-3)
        yield step
        step += 1
