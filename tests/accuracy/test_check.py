"""check: budgets, equal integers, faults, names and predictions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attnexport
from attnexport.accuracy.budget import Budget, relative_floor, variants_of
from attnexport.accuracy.check import check, match_names
from attnexport.accuracy.data import Batch
from attnexport.accuracy.report import as_json, table, task_line
from attnexport.errors import InputError
from attnexport.variants import all_variants
from attnexport.variants.spec import ErrorFloor
from tests.accuracy.backend import TorchBackend

WIDTH = 6


class Scores(nn.Module):
    """Logits, a class and a norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.head(x)
        return {"logits": logits, "chosen": logits.argmax(-1), "norm": x.norm()}


def draw(rows: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed)).to(dtype)


def export(module: nn.Module, *args: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(module.eval(), args, strict=False)


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    return export(Scores(), draw())


def report_of(program, fault=None, batches: int = 2, labels=None, **options):
    return check(
        program,
        TorchBackend(program, fault),
        [Batch(f"batch {seed}", (draw(seed=seed),), labels) for seed in range(batches)],
        **options,
    )


def changed(name: str, change):
    return lambda outputs: {**outputs, name: change(outputs[name])}


def renamed(**names: str):
    return lambda outputs: {names.get(name, name): value for name, value in outputs.items()}


def test_limit_is_twice_pytorchs_error_plus_the_floor():
    assert Budget(torch_error=0.25, floor=0.125).limit == 0.625


def test_limit_follows_from_pytorch_and_the_largest_reference(program):
    logits = report_of(program).outputs[0]
    head = Scores().head
    with torch.no_grad():
        wide = [draw(seed=seed).double() @ head.weight.double().T + head.bias.double() for seed in range(2)]
        own = [head(draw(seed=seed)) for seed in range(2)]
    torch_error = max(float((one - other).abs().max()) for one, other in zip(own, wide, strict=True))
    largest = max(float(one.abs().max()) for one in wide)
    assert logits.budget.torch_error == pytest.approx(torch_error, rel=1e-6)
    assert logits.budget.limit == pytest.approx(2 * torch_error + 4 * 2**-23 * largest, rel=1e-6)
    assert logits.largest_error == pytest.approx(torch_error, rel=1e-6)


@pytest.mark.parametrize(("share", "passes"), [(0.9, True), (1.1, False)])
def test_errors_pass_up_to_the_limit(program, share, passes):
    plain = report_of(program, batches=1).outputs[0]
    head = Scores().head
    exact = (draw().double() @ head.weight.double().T + head.bias.double()).detach().numpy()
    report = report_of(program, changed("logits", lambda _: exact + share * plain.budget.limit), batches=1)
    assert [output.passed for output in report.outputs] == [passes, True, True]
    assert report.passed == passes
    assert ("OUTSIDE" in str(list(table(report).columns[-1].cells))) != passes
    if not passes:
        assert report.outputs[0].failure.startswith("output logits: largest error ")
        assert "is 1.1 times the allowed" in report.outputs[0].failure


def test_floor_is_the_largest_of_the_variants_used():
    module = nn.Sequential(attnexport.SelectiveSynchronizationAttention(8, 2), attnexport.TopNAttention(8, 2, 3))
    found = variants_of(export(module, torch.randn(2, 5, 8)))
    assert [variant.name for variant in found] == ["ssa", "topn"]
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        assert relative_floor([], dtype) == 4 * torch.finfo(dtype).eps
        assert relative_floor(found, dtype) == max(variant.floor.at(dtype) for variant in found)
    assert ErrorFloor(factor=2.0, power=0.5).at(torch.float32) == 2.0 * (2.0**-23) ** 0.5
    assert all(variant.floor.at(torch.float32) < 1e-2 for variant in all_variants())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_held_to_its_own_rounding(dtype):
    program = export(nn.Linear(WIDTH, 4).to(dtype), draw(dtype=dtype))
    own = program.module()(draw(dtype=dtype)).detach().float().numpy()
    batches = [Batch("one", (draw(dtype=dtype),))]
    backend = TorchBackend(program)
    backend.run = lambda inputs: {"output": own}
    (output,) = check(program, backend, batches).outputs
    assert output.passed
    assert torch.finfo(dtype).eps / 20 < output.budget.torch_error < 10 * torch.finfo(dtype).eps
    backend.run = lambda inputs: {"output": own + 2 * output.budget.limit}
    assert not check(program, backend, batches).passed


def test_an_unused_low_precision_buffer_does_not_widen_the_budget():
    class WithTable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(WIDTH, 4)
            self.register_buffer("table", torch.zeros(3, dtype=torch.bfloat16))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)

    program = export(WithTable(), draw())
    right = program.module()(draw()).detach().numpy()
    backend = TorchBackend(program)
    backend.run = lambda inputs: {"output": right * 1.02}
    assert not check(program, backend, [Batch("one", (draw(),))]).passed


def test_integers_must_be_equal(program):
    def flip(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values.flat[0] += 1
        return values

    report = report_of(program, changed("chosen", flip), batches=3)
    assert not report.passed
    assert report.outputs[1].budget is None
    assert report.outputs[1].failure == "output chosen: expected equal int64 values, 3 differ"
    assert [output.passed for output in report.outputs] == [True, False, True]


def test_nan_in_the_file_fails_with_its_count(program):
    def poison(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[2, 1:3] = np.nan, np.inf
        return values

    report = report_of(program, changed("logits", poison), batches=2)
    assert not report.passed
    assert report.outputs[0].failure == "output logits: 4 values are NaN or infinite"
    assert as_json(report)["outputs"][0]["not_finite"] == 4


def test_reference_that_is_not_finite_is_bad_input(program):
    batch = Batch("data.npz[0:5]", (draw() * torch.inf,))
    with pytest.raises(InputError, match=r"output logits at data.npz\[0:5\]: the float64 reference is not finite"):
        check(program, TorchBackend(program), [batch])


def test_output_of_another_shape_is_bad_input(program):
    with pytest.raises(InputError, match=r"output logits at batch 0: expected shape \(5, 4\), the file gives \(4, 5\)"):
        report_of(program, changed("logits", lambda values: values.T))


def test_renamed_outputs_are_matched_by_position_with_a_note(program):
    report = report_of(program, renamed(logits="a", chosen="b", norm="c"))
    assert report.passed
    assert report.notes == ("outputs were matched by position: logits, chosen, norm in the model, a, b, c in the file",)


def test_reordered_outputs_are_matched_by_name(program):
    report = report_of(program, lambda outputs: dict(reversed(outputs.items())))
    assert report.passed
    assert report.notes == ()


def test_renamed_inputs_are_matched_by_position_with_a_note(program):
    backend = TorchBackend(program, inputs=("pixels",))
    report = check(program, backend, [Batch("one", (draw(),))])
    assert report.passed
    assert list(backend.feeds[0]) == ["pixels"]
    assert report.notes == ("inputs were matched by position: x in the model, pixels in the file",)


def test_another_number_of_names_is_bad_input():
    with pytest.raises(InputError, match=r"outputs: expected 1 \(a\), the file has 2 \(a, b\)"):
        match_names("output", ("a",), ("a", "b"))


def test_predictions_against_numpy(program):
    labels = np.array([0, 1, 2, 3, 0])

    def disturb(values: np.ndarray) -> np.ndarray:
        return np.where(np.arange(5)[:, None] == 2, -values, values)

    report = report_of(program, changed("logits", disturb), batches=3, labels=labels, compare_task=True)
    head = Scores().head
    own = [head(draw(seed=seed)).detach().numpy() for seed in range(3)]
    in_torch = np.concatenate([values.argmax(-1) for values in own])
    in_file = np.concatenate([disturb(values).argmax(-1) for values in own])
    task = report.task
    assert (task.output, task.predictions, task.labelled) == ("logits", 15, 15)
    assert task.agreement == (in_torch == in_file).mean() == 12 / 15
    assert task.accuracy_torch == (in_torch == np.tile(labels, 3)).mean()
    assert task.accuracy_file == (in_file == np.tile(labels, 3)).mean()
    assert task_line(report).startswith("predictions (logits): 80.00% of 15 agree; accuracy ")


def test_predictions_without_labels_have_no_accuracy(program):
    report = report_of(program, compare_task=True)
    assert report.task.agreement == 1.0
    assert report.task.accuracy_torch is None
    assert task_line(report) == "predictions (logits): 100.00% of 10 agree"
    assert task_line(report_of(program)) == ""


class TwoHeads(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[None], x * 2


def test_labels_choose_the_output_that_they_fit():
    program = export(TwoHeads(), draw())
    assert report_of(program, labels=np.zeros(5, np.int64), compare_task=True).task.output == "output_1"
    assert report_of(program, labels=np.zeros((1, 5), np.int64), compare_task=True).task.output == "output_0"
    assert report_of(program, compare_task=True).task.output == "output_0"
    wanted = r"batch 0: labels: expected shape \(1, 5\) \(output_0\) or \(5,\) \(output_1\), given \(3,\)"
    with pytest.raises(InputError, match=wanted):
        report_of(program, labels=np.zeros(3, np.int64), compare_task=True)


def test_report_survives_json_when_numbers_are_not_finite(program):
    report = report_of(program)
    output = dataclasses.replace(report.outputs[0], cosine=float("nan"), largest_error=float("inf"))
    written = as_json(dataclasses.replace(report, outputs=(output,)))["outputs"][0]
    assert (written["cosine"], written["largest_error"]) == ("nan", "inf")


def test_nothing_to_compare_on_is_bad_input(program):
    with pytest.raises(InputError, match="no inputs to compare on"):
        report_of(program, batches=0)
