"""What forward keeps in attributes that are no buffers: refused where calls depend on it, and else no matter."""

from __future__ import annotations

import threading
from collections import deque

import pytest
import torch
from torch import Tensor, nn

from attnexport.errors import ConversionError
from attnexport.models.loading.programs import export_model
from tests.models.state.models import Writes, example


class Cache:
    """A plain object that grows."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None

    def add(self, x: Tensor) -> Tensor:
        self.keys = x if self.keys is None else torch.cat([self.keys, x], 1)
        return self.keys


class Keeps(Writes):
    """Starts with something in ``memory.kept``."""

    def __init__(self, kept: object = None) -> None:
        super().__init__()
        self.memory.kept = kept


class SumsInDict(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.kept["sum"] = self.memory.kept["sum"] + x
        return self.attention(self.memory.kept["sum"])


class CountsInDict(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        self.memory.kept["calls"] += 1
        return self.attention(x) * self.memory.kept["calls"]


class Appends(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        before = self.memory.kept[0]
        self.memory.kept.append(x)
        return self.attention(x + before)


class FillsWhatWasNone(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        before, self.memory.kept = self.memory.kept, x
        return self.attention(x if before is None else x + before)


class CallsACache(Keeps):
    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.memory.kept.add(x))


class KeepsTheLargest(Keeps):
    """A second call on the same input gives the same."""

    def forward(self, x: Tensor) -> Tensor:
        self.memory.kept[0] = torch.maximum(self.memory.kept[0], x)
        return self.attention(x - self.memory.kept[0])


@pytest.mark.parametrize(
    "model",
    [
        SumsInDict({"sum": torch.zeros(2, 6, 16)}),
        CountsInDict({"calls": 0}),
        Appends(deque([torch.zeros(2, 6, 16)], maxlen=1)),
        FillsWhatWasNone(),
        CallsACache(Cache()),
        KeepsTheLargest([torch.zeros(2, 6, 16)]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_calls_depend_on_is_refused_by_name(model: nn.Module):
    with pytest.raises(ConversionError, match=r"attribute memory.kept: .*register_buffer"):
        export_model(model, (example(),))


def test_tables_made_once_and_logs_are_no_state():
    class MakesItsTable(Keeps):
        def forward(self, x: Tensor) -> Tensor:
            if self.memory.kept["table"] is None:
                self.memory.kept["table"] = torch.arange(x.shape[1]).cos()
            self.memory.kept["calls"] += 1
            self.memory.kept["inputs"].append(x)
            return self.attention(x) * self.memory.kept["table"][:, None]

    model = MakesItsTable({"table": None, "calls": 0, "inputs": []})
    program = export_model(model, (example(),)).program
    assert torch.equal(program.module()(example()), model(example()))


def test_model_that_cannot_be_copied_is_exported():
    class Locks(Keeps):
        def forward(self, x: Tensor) -> Tensor:
            with self.memory.kept["lock"]:
                self.memory.kept["calls"] += 1
            return self.attention(x)

    export_model(Locks({"lock": threading.Lock(), "calls": 0}), (example(),))


def test_random_numbers_are_no_state():
    class Noisy(Keeps):
        def forward(self, x: Tensor) -> Tensor:
            self.memory.kept = torch.randn_like(x)
            return self.attention(x + self.memory.kept)

    export_model(Noisy(), (example(),))


def test_buffer_that_forward_makes_is_refused_by_name():
    class Makes(Writes):
        def __init__(self) -> None:
            super().__init__()
            self.memory.register_buffer("last", None)

        def forward(self, x: Tensor) -> Tensor:
            self.memory.last = x
            return self.attention(self.memory.last)

    model = Makes()
    with pytest.raises(ConversionError, match=r"buffer memory.last: forward makes it, given None"):
        export_model(model, (example(),))
    assert model.memory.last is None
