"""Models that write buffers, each in another way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import attnexport

WIDTH = 16


def example(batch: int = 2, tokens: int = 6) -> Tensor:
    return torch.randn(batch, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


class Writes(nn.Module):
    """One attention layer and the buffers that forwards below write."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = attnexport.TopNAttention(WIDTH, 2, 3)
        self.memory = nn.Module()
        self.memory.register_buffer("cache", torch.zeros(2, 6, WIDTH))
        self.memory.register_buffer("seen", torch.tensor(1))
        self.register_buffer("scratch", torch.ones(WIDTH), persistent=False)


class Counter(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.seen += 1
        return self.attention(x) * self.memory.seen


class SliceOfCache(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache[:, 1:4] = x[:, :3]
        return self.attention(x + self.memory.cache)


class MovingAverage(Writes):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.scratch.mul_(0.9).add_(x.mean((0, 1)), alpha=0.1)
        return self.attention(x - self.scratch)


class RolledCache(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache = torch.roll(self.memory.cache, -1, 1)
        self.memory.cache[:, -1] = x[:, 0]
        return self.attention(x + self.memory.cache)


class AssignedAverage(Writes):
    """Binds the buffer of a module inside to another tensor, of which torch.export alone knows nothing."""

    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache = 0.5 * self.memory.cache + x
        return self.attention(self.memory.cache)


class IndexCopy(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache.index_copy_(1, self.memory.seen.view(1), x[:, :1])
        self.memory.seen.add_(1)
        return self.attention(x + self.memory.cache)


class WhereConditionHolds(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.scratch.copy_(torch.where(x.mean() > 0, self.scratch + 1, self.scratch * 2))
        return self.attention(x) + self.scratch


class ThroughAView(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache.view(-1)[:WIDTH] += x[0, 0]
        return self.attention(x + self.memory.cache)


class WrittenParameter(Writes):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.scale.mul_(0.5)
        return self.attention(x) * self.scale


class ThroughAnotherBuffer(Writes):
    """The outputs read scratch alone, which is made from the counter."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention(x) + self.scratch
        self.scratch.copy_(self.memory.seen.float().expand(WIDTH))
        self.memory.seen.add_(1)
        return y


STATEFUL = {
    Counter: ("memory.seen",),
    SliceOfCache: ("memory.cache",),
    MovingAverage: ("scratch",),
    RolledCache: ("memory.cache",),
    AssignedAverage: ("memory.cache",),
    IndexCopy: ("memory.cache", "memory.seen"),
    WhereConditionHolds: ("scratch",),
    ThroughAView: ("memory.cache",),
    WrittenParameter: ("scale",),
    ThroughAnotherBuffer: ("memory.seen", "scratch"),
}
"""Models whose outputs depend on what earlier calls wrote, with the paths of those buffers."""


class UnreadCounter(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.seen += 1
        return self.attention(x)


class Overwritten(Writes):
    """Every call writes the buffer anew before it is read."""

    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache.copy_(x)
        return self.attention(self.memory.cache)


class ClearedFirst(Writes):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache.zero_()
        self.memory.cache.add_(x)
        return self.attention(self.memory.cache)


UNREAD = {UnreadCounter: "memory.seen", Overwritten: "memory.cache", ClearedFirst: "memory.cache"}
"""Models whose outputs depend on no earlier call, with the buffer that they write all the same."""


class ChangesItsInput(Writes):
    def forward(self, x: Tensor) -> Tensor:
        x.mul_(2)
        return self.attention(x)


class ChangesARowOfItsInput(Writes):
    def forward(self, x: Tensor) -> Tensor:
        x[:, 0] = 0
        return self.attention(x)


class ChangesItsInputTwice(Writes):
    def forward(self, x: Tensor) -> Tensor:
        first = self.attention(x)
        x.add_(first).relu_()
        return self.attention(x)


class WritesEverything(Writes):
    """A counter, a cache through a slice, and its own input."""

    def forward(self, x: Tensor) -> Tensor:
        self.memory.seen += 1
        self.memory.cache[:, :3] = x[:, 3:]
        x.mul_(2)
        return self.attention(x + self.memory.cache) * self.memory.seen
