"""Whatever runs a program gives the same bits every time, and leaves the program and the caller's tensors alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.export import ExportedProgram

from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.diagnosis.hazards import find_hazards
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.scaling import largest_scale
from attnexport.analysis.layers import visit_attention
from attnexport.models.interpreting import Evaluator, Reference
from attnexport.models.loading import export_module
from attnexport.models.rounding import RandomlyRounded
from attnexport.models.running import ProgramRunner
from attnexport.models.values_inside import WatchedProgram
from tests.models.state.models import WritesEverything, example

Tensors = list[torch.Tensor]


def _watched(program: ExportedProgram, tensors: Tensors, dtype: torch.dtype | None) -> list[np.ndarray]:
    watched, seen = WatchedProgram(program), []
    for _ in range(2):
        watched.run(tensors, dtype, watched.nodes, lambda _, value: seen.append(np.array(value.detach().clone())))
    return seen


def _watched_rounding(program: ExportedProgram, tensors: Tensors) -> list[np.ndarray]:
    watched, seen = WatchedProgram(program), []
    for _ in range(2):
        keep = lambda _, value: seen.append(np.array(value.detach().clone()))  # noqa: E731
        watched.run_rounded(tensors, torch.float16, 0, watched.nodes, keep)
    return seen


def _attention(program: ExportedProgram, tensors: Tensors) -> list[np.ndarray]:
    weights: list[np.ndarray] = []
    for _ in range(2):
        visit_attention(program, tensors, lambda call: weights.append(call.weights.numpy().copy()))
    return weights


def _twice(run: Callable[..., list], *args: object) -> list[np.ndarray]:
    return [np.asarray(value) for _ in range(2) for value in run(*args)]


def _hazards(program: ExportedProgram, tensors: Tensors) -> list[float]:
    return [hazard.value for hazard in find_hazards(program, [Batch("b", tuple(tensors))])]


USERS = {
    "as exported": lambda program, x: _twice(ProgramRunner(program).run, x),
    "reference": lambda program, x: _twice(Reference(program).run, x),
    "yardstick": lambda program, x: _twice(Evaluator(program, torch.float16).run, x),
    "random rounding": lambda program, x: _twice(RandomlyRounded(program, torch.float16).run, x, 0),
    "check, own precision": lambda program, x: _twice(TorchRuns(program).compute, x, "fp32"),
    "check, float64": lambda program, x: _twice(TorchRuns(program).compute, x, "fp64"),
    "check, rounded": lambda program, x: _twice(TorchRuns(program).rounded, x, "fp16", 0),
    "bisect": lambda program, x: _watched(program, x, None),
    "bisect, float64": lambda program, x: _watched(program, x, torch.float64),
    "bisect, rounded": _watched_rounding,
    "scale of large inputs": lambda program, x: _twice(lambda: [largest_scale(program, x)]),
    "analysis": _attention,
    "hazards": lambda program, x: _twice(_hazards, program, x),
}


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    return export_module(WritesEverything(), (example(),))


@pytest.mark.parametrize("user", USERS)
def test_two_runs_give_equal_bits_and_leave_no_trace(program: ExportedProgram, user: str):
    held = {name: tensor.clone() for name, tensor in {**program.state_dict, **program.constants}.items()}
    x = example()
    values = USERS[user](program, [x])
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
