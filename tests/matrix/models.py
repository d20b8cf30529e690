"""Small modules with one oddity each, and factories of them for --model."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import attnexport

WIDTH = 8


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = attnexport.TopNAttention(WIDTH, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.attention(x)
        return y


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.linear(x)


class Scaled(Linear):
    def forward(self, x: Tensor, scale: Tensor) -> Any:  # type: ignore[override]
        return self.linear(x) * scale


class Total(Linear):
    def forward(self, x: Tensor) -> Any:
        return self.linear(x).sum()


class Halves(Linear):
    def forward(self, x: Tensor) -> Any:
        return self.linear(x.reshape(x.shape[0], x.shape[1] // 2, 2, WIDTH).mean(2))


class Strided(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(WIDTH, WIDTH, 3, stride=2)

    def forward(self, x: Tensor, y: Tensor) -> Any:  # type: ignore[override]
        return self.convolution(x) + y


class Branches(Linear):
    def forward(self, x: Tensor) -> Any:
        return torch.cond(x.sum() > 0, lambda x: self.linear(x), lambda x: x - 1.0, (x,))


class Checkpointed(Linear):
    def forward(self, x: Tensor) -> Any:
        return checkpoint(self.linear, x, use_reentrant=True)


class Collides(Linear):
    def forward(self, x: Tensor) -> Any:
        y = self.linear(x)
        y = y - y.mean(-1, keepdim=True)
        return {"mean": y[..., :4], "linear": y[..., 4:].exp()}


@dataclasses.dataclass
class Output:
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None


class Structured(Linear):
    def forward(self, x: Tensor) -> Any:
        y = self.linear(x)
        return Output(y, (x * 2, y.exp()))


class Passes(Linear):
    def forward(self, x: Tensor) -> Any:
        y = self.linear(x)
        return y, x, None, y


class Counts(Linear):
    def forward(self, x: Tensor) -> Any:
        return self.linear(x), x.shape[0]


class Lazy(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LazyLinear(WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.linear(self.first(x))
