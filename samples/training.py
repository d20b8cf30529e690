"""Training for a given time, with the step as a CUDA graph where there is a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

WARM_UP = 0.05
_FIRST_STEPS = 3
_STEPS_AHEAD = 20

Loss = Callable[..., Tensor]
"""From the tensors of a batch to a scalar."""


def adamw(model: nn.Module, device: torch.device) -> Optimizer:
    """The optimizer of the larger samples; its rate is a tensor, which a graph reads anew at each step."""
    rate = torch.tensor(0.0, device=device)
    return AdamW(model.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.98), capturable=device.type == "cuda")


def timed_steps(optimizer: Optimizer, rate: float, seconds: float) -> Iterator[int]:
    """Numbers of steps for so long; each sets the rate, which rises over 5 % of the time and falls as a cosine."""
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / seconds) < 1:
        share = done / WARM_UP if done < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
        for group in optimizer.param_groups:
            group["lr"].fill_(rate * max(share, 1e-3))
        yield step
        step += 1
        if step % _STEPS_AHEAD == 0 and torch.cuda.is_available():
            torch.cuda.synchronize()


class Step:
    """One step of an optimizer on a batch; ``step(*batch)`` gives its loss.

    On CUDA it is captured once and replayed: launches from Python take four times as long as what they launch.

    Args:
        model: that is trained.
        optimizer: of its parameters.
        loss: of a batch.
        batch: tensors of the shapes and types of all batches.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, loss: Loss, batch: tuple[Tensor, ...]) -> None:
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._batch = tuple(part.clone() for part in batch)
        self._graph: torch.cuda.CUDAGraph | None = None
        if batch[0].is_cuda:
            self._capture()

    def __call__(self, *batch: Tensor) -> Tensor:
        for held, part in zip(self._batch, batch, strict=True):
            held.copy_(part)
        if self._graph is None:
            return self._eager()
        self._graph.replay()
        return self._captured

    def _eager(self) -> Tensor:
        loss = self._loss(*self._batch)
        self._optimizer.zero_grad(set_to_none=False)
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        return loss.detach()

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_FIRST_STEPS):
                self._eager()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._captured = self._eager()
