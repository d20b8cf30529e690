"""Whatever runs a program gives the same bits every time, and leaves the program and the caller's tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.export import ExportedProgram

from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.diagnosis.bisect.values_inside import visit_values
from attnexport.accuracy.diagnosis.hazards import find_hazards
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.scaling import largest_scale
from attnexport.analysis.layers import visit_attention
from attnexport.models.interpreting import Rounding
from attnexport.models.loading.programs import export_model
from attnexport.models.model import Model
from attnexport.models.running import ProgramRunner
from tests.models.state.models import WritesEverything, example

Tensors = list[torch.Tensor]


def _inside(model: Model, tensors: Tensors, **options: Any) -> list[np.ndarray]:
    seen: list[np.ndarray] = []
    for _ in range(2):
        keep = lambda _, value: seen.append(np.array(value.detach().clone()))  # noqa: E731
        visit_values(model, tensors, model.runner.calls, keep, **options)
    return seen


def _attention(model: Model, tensors: Tensors) -> list[np.ndarray]:
    weights: list[np.ndarray] = []
    for _ in range(2):
        visit_attention(model, tensors, lambda call: weights.append(call.weights.numpy().copy()))
    return weights


def _twice(run: Callable[..., list], *args: object, **options: object) -> list[np.ndarray]:
    return [np.asarray(value) for _ in range(2) for value in run(*args, **options)]


def _hazards(model: Model, tensors: Tensors) -> list[float]:
    return [hazard.value for hazard in find_hazards(model, [Batch("b", tuple(tensors))])]


USERS = {
    "as exported": lambda model, x: _twice(model.run, x),
    "reference": lambda model, x: _twice(model.run, x, dtype=torch.float64),
    "yardstick": lambda model, x: _twice(model.run, x, dtype=torch.float16),
    "random rounding": lambda model, x: _twice(model.run, x, rounding=Rounding(torch.float16, 0)),
    "check, own precision": lambda model, x: _twice(TorchRuns(model).compute, x, "fp32"),
    "check, float64": lambda model, x: _twice(TorchRuns(model).compute, x, "fp64"),
    "check, rounded": lambda model, x: _twice(TorchRuns(model).rounded, x, "fp16", 0),
    "bisect": _inside,
    "bisect, float64": lambda model, x: _inside(model, x, dtype=torch.float64),
    "bisect, rounded": lambda model, x: _inside(model, x, rounding=Rounding(torch.float16, 0)),
    "scale of large inputs": lambda model, x: _twice(lambda: [largest_scale(model, x)]),
    "analysis": _attention,
    "hazards": lambda model, x: _twice(_hazards, model, x),
}


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    return export_model(WritesEverything(), (example(),)).program


@pytest.mark.parametrize("user", USERS)
def test_two_runs_give_equal_bits_and_leave_no_trace(program: ExportedProgram, user: str):
    held = {name: tensor.clone() for name, tensor in {**program.state_dict, **program.constants}.items()}
    x = example()
    values = USERS[user](Model(program), [x])
    assert values
    first, second = values[: len(values) // 2], values[len(values) // 2 :]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True))
    assert torch.equal(x, example())
    after = {**program.state_dict, **program.constants}
    assert all(torch.equal(after[name], tensor) for name, tensor in held.items())


def test_runs_are_those_of_a_model_that_was_never_called(program: ExportedProgram):
    runner = ProgramRunner(program)
    runner.run([example()])
    (given,) = runner.run([example()])
    with torch.no_grad():
        assert torch.equal(given, WritesEverything().eval()(example()))


def test_tensors_of_one_storage_stay_tied():
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("first", torch.zeros(3))
            self.register_buffer("second", self.first)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.first.add_(1)
            return x + self.second

    runner = ProgramRunner(torch.export.export(Tied(), (torch.zeros(3),)))
    assert [runner.run([torch.zeros(3)])[0].tolist() for _ in range(2)] == [[1.0] * 3] * 2
