"""check: budgets, equal integers, faults, names, kinds of inputs and several contenders."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

import attnexport
from attnexport.accuracy.check.budget import Budget, relative_floor
from attnexport.accuracy.check.budget_file import BudgetFile
from attnexport.accuracy.check.check import check
from attnexport.accuracy.check.judging import Plan
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.contenders.contenders import BackendContender, match_names
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.reports.json_report import as_json
from attnexport.accuracy.reports.terminal import contender_table, result_lines
from attnexport.errors import BackendError, InputError
from attnexport.models.model import Model
from attnexport.models.program import variants_of
from attnexport.variants.registry import all_variants
from attnexport.variants.spec import ErrorFloor
from tests.accuracy.backend import TorchBackend, checked, contender

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


def batches_of(count: int, labels=None, kind: str = "data") -> list[Batch]:
    return [Batch(f"batch {seed}", (draw(seed=seed),), labels, kind=kind) for seed in range(count)]


def report_of(program, fault=None, batches: int = 2, labels=None, **plan):
    return checked(program, TorchBackend(program, fault), batches_of(batches, labels), **plan)


def outputs_of(report):
    """Errors on the one kind of inputs, output by output."""
    return [output.worst_kind for output in report.contenders[0].outputs]


def changed(name: str, change):
    return lambda outputs: {**outputs, name: change(outputs[name])}


def renamed(**names: str):
    return lambda outputs: {names.get(name, name): value for name, value in outputs.items()}


def test_limit_is_twice_pytorchs_error_plus_the_floor():
    assert Budget(torch_error=0.25, floor=0.125).limit == 0.625


def test_limit_follows_from_pytorch_and_the_largest_reference(program):
    logits = outputs_of(report_of(program))[0]
    head = Scores().head
    with torch.no_grad():
        wide = [draw(seed=seed).double() @ head.weight.double().T + head.bias.double() for seed in range(2)]
        torch_error = max(float((head(draw(seed=seed)) - wide[seed]).abs().max()) for seed in range(2))
    largest = max(float(one.abs().max()) for one in wide)
    assert logits.budget.torch_error == pytest.approx(torch_error, rel=1e-6)
    assert logits.budget.limit == pytest.approx(2 * torch_error + 4 * 2**-23 * largest, rel=1e-6)
    assert logits.largest_error >= torch_error


@pytest.mark.parametrize(("share", "passes"), [(0.9, True), (1.1, False)])
def test_errors_pass_up_to_the_limit(program, share, passes):
    plain = outputs_of(report_of(program, batches=1))[0]
    head = Scores().head
    exact = (draw().double() @ head.weight.double().T + head.bias.double()).detach().numpy()
    report = report_of(program, changed("logits", lambda _: exact + share * plain.budget.limit), batches=1)
    assert [output.passed for output in report.contenders[0].outputs] == [passes, True, True]
    assert report.passed == passes
    assert any("OUTSIDE" in row[-1].text for row in contender_table(report.contenders[0]).rows) != passes
    if not passes:
        (failure,) = report.failures
        assert str(failure).startswith("file: output logits, data at batch 0[")
        assert "largest error " in str(failure)
        assert "is 1.1 times the allowed" in str(failure)
        assert "; try: bisect=True" in str(failure)


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
    (output,) = outputs_of(checked(program, backend, batches))
    assert output.passed
    assert torch.finfo(dtype).eps / 20 < output.budget.torch_error < 10 * torch.finfo(dtype).eps
    backend.run = lambda inputs: {"output": own + 2 * output.budget.limit}
    assert not checked(program, backend, batches).passed


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
    assert not checked(program, backend, [Batch("one", (draw(),))]).passed


def test_integers_must_be_equal(program):
    def flip(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values.flat[0] += 1
        return values

    report = report_of(program, changed("chosen", flip), batches=3)
    assert not report.passed
    assert outputs_of(report)[1].budget is None
    assert str(report.failures[0]).startswith("file: output chosen, data: expected equal int64 values, 3 of 15 differ;")
    assert [output.passed for output in report.contenders[0].outputs] == [True, False, True]


def test_nan_in_the_file_fails_with_its_count(program):
    def poison(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[2, 1:3] = np.nan, np.inf
        return values

    report = report_of(program, changed("logits", poison), batches=2)
    assert not report.passed
    line = str(report.failures[0])
    assert line.startswith("file: output logits, data at batch 0[2, 1]: values that are NaN or infinite: 4 of 40;")
    assert as_json(report)["contenders"][0]["outputs"][0]["kinds"][0]["not_finite"] == 4


def test_reference_that_is_not_finite_is_bad_input(program):
    batch = Batch("data.npz[0:5]", (draw() * torch.inf,))
    with pytest.raises(InputError, match=r"data.npz\[0:5\]: output logits: the float64 reference is not finite"):
        checked(program, TorchBackend(program), [batch])


def test_output_of_another_shape_is_bad_input(program):
    with pytest.raises(
        InputError, match=r"file: output logits at batch 0: expected shape \(5, 4\), the file gives \(4, 5\)"
    ):
        report_of(program, changed("logits", lambda values: values.T))


def test_renamed_outputs_are_matched_by_position_with_a_note(program):
    report = report_of(program, renamed(logits="a", chosen="b", norm="c"))
    assert report.passed
    assert report.contenders[0].notes == (
        "outputs were matched by position: logits, chosen, norm in the model, a, b, c in the file",
    )


def test_reordered_outputs_are_matched_by_name(program):
    report = report_of(program, lambda outputs: dict(reversed(outputs.items())))
    assert report.passed
    assert report.contenders[0].notes == ()


def test_renamed_inputs_are_matched_by_position_with_a_note(program):
    backend = TorchBackend(program, inputs=("pixels",))
    report = checked(program, backend, [Batch("one", (draw(),))])
    assert report.passed
    assert list(backend.feeds[0]) == ["pixels"]
    assert report.contenders[0].notes == ("inputs were matched by position: x in the model, pixels in the file",)


def test_another_number_of_names_is_bad_input():
    with pytest.raises(InputError, match=r"outputs: expected 1 \(a\), the file has 2 \(a, b\)"):
        match_names("output", ("a",), ("a", "b"))


def test_predictions_against_numpy(program):
    labels = np.array([0, 1, 2, 3, 0])

    def disturb(values: np.ndarray) -> np.ndarray:
        return np.where(np.arange(5)[:, None] == 2, -values, values)

    report = report_of(program, changed("logits", disturb), batches=3, labels=labels, predictions=True)
    head = Scores().head
    own = [head(draw(seed=seed)).detach().numpy() for seed in range(3)]
    in_torch = np.concatenate([values.argmax(-1) for values in own])
    in_file = np.concatenate([disturb(values).argmax(-1) for values in own])
    task = report.contenders[0].predictions
    assert (task.output, task.compared, task.labelled) == ("logits", 15, 15)
    assert task.agreement == (in_torch == in_file).mean() == 12 / 15
    assert task.accuracy_reference == (in_torch == np.tile(labels, 3)).mean()
    assert task.accuracy_contender == (in_file == np.tile(labels, 3)).mean()
    assert next(result_lines(report.contenders[0])).startswith("predictions (logits): 80.00% of 15 agree; accuracy ")


def test_predictions_without_labels_have_no_accuracy(program):
    result = report_of(program, predictions=True).contenders[0]
    assert result.predictions.agreement == 1.0
    assert result.predictions.accuracy_reference is None
    assert list(result_lines(result)) == ["predictions (logits): 100.00% of 10 agree"]
    assert not list(result_lines(report_of(program).contenders[0]))


class TwoHeads(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[None], x * 2


def test_labels_choose_the_output_that_they_fit():
    program = export(TwoHeads(), draw())
    for labels, output in ((np.zeros(5, int), "output_1"), (np.zeros((1, 5), int), "output_0"), (None, "output_0")):
        report = report_of(program, labels=labels, predictions=True)
        assert report.contenders[0].predictions.output == output
    wanted = r"batch 0: labels: expected shape \(1, 5\) \(output_0\) or \(5,\) \(output_1\), given \(3,\)"
    with pytest.raises(InputError, match=wanted):
        report_of(program, labels=np.zeros(3, np.int64), predictions=True)


def test_report_survives_json_when_numbers_are_not_finite(program):
    report = report_of(program)
    result = report.contenders[0]
    kind = dataclasses.replace(outputs_of(report)[0], cosine=float("nan"), largest_error=float("inf"))
    result = dataclasses.replace(result, outputs=(dataclasses.replace(result.outputs[0], kinds=(kind,)),))
    written = as_json(dataclasses.replace(report, contenders=(result,)))["contenders"][0]["outputs"][0]["kinds"][0]
    assert (written["cosine"], written["largest_error"]) == ("nan", "inf")


def test_nothing_to_compare_on_is_bad_input(program):
    with pytest.raises(InputError, match="no inputs to compare on"):
        report_of(program, batches=0)


def test_every_kind_of_inputs_has_its_own_budget(program):
    """An error that is small beside large inputs is not small beside ordinary ones."""
    ordinary, large = Batch("ordinary", (draw(),), kind="normal"), Batch("large", (draw() * 1e4,), kind="large")

    def off(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**outputs, "logits": outputs["logits"] + np.float32(1e-4)}

    report = checked(program, TorchBackend(program, off), [ordinary, large])
    logits = report.contenders[0].outputs[0]
    assert [(kind.kind, kind.passed) for kind in logits.kinds] == [("normal", False), ("large", True)]
    assert logits.worst_kind.kind == "normal"
    assert "output logits, normal inputs at ordinary[" in str(report.failures[0])
    assert "other kinds of inputs are within the budget" in str(report.failures[0])


def test_kinds_that_the_model_does_not_take_are_left_out_unless_all_are(program):
    fine = Batch("fine", (draw(),), kind="normal")
    endless = Batch("endless", (draw() * torch.inf,), kind="large")
    wide = Batch("wide", (torch.ones(5, WIDTH + 1),), kind="maximum")
    report = checked(program, TorchBackend(program), [fine, endless, wide])
    assert report.passed
    assert [(kind.name, kind.batches) for kind in report.kinds] == [("normal", 1), ("large", 0), ("maximum", 0)]
    assert report.kinds[1].left_out == "output logits: the float64 reference is not finite"
    assert "PyTorch cannot run the model in fp64" in report.kinds[2].left_out
    with pytest.raises(InputError, match="no inputs to compare on: large: output logits: the float64 reference is not"):
        checked(program, TorchBackend(program), [endless, wide])


def test_contender_that_does_not_run_everywhere_fails_there(program):
    """A dim that the file specialised is a failure of the file; one that runs nowhere is no file to check."""
    backend = TorchBackend(program)
    backend.run, run = fails_at_batch(backend.run, 1), backend.run
    report = checked(program, backend, batches_of(3))
    (failure,) = report.failures
    assert str(failure).startswith("file: batch 1 (x 5x6): does not run where the model does: no such size; try: ")
    assert outputs_of(report)[0].elements == 2 * 5 * 4
    backend.run = fails_at_batch(run, 0, 1, 2)
    with pytest.raises(BackendError, match="no such size"):
        checked(program, backend, batches_of(3))


def fails_at_batch(run, *batches: int):
    calls = iter(range(99))

    def failing(inputs):
        if next(calls) in batches:
            raise BackendError("no such size")
        return run(inputs)

    return failing


def test_each_contender_is_held_to_pytorch_at_its_own_precision(program):
    """Outputs rounded to half precision pass as half precision and not as single."""

    def halved(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: v.astype(np.float16).astype(v.dtype) if v.dtype.kind == "f" else v for name, v in outputs.items()}

    backend = TorchBackend(program, halved)
    contenders = [contender(program, backend, precision, precision) for precision in ("fp16", "fp32", "bf16")]
    report = check(TorchRuns(Model(program)), contenders, batches_of(2))
    limits = [result.outputs[0].worst_kind.budget.limit for result in report.contenders]
    assert [result.passed for result in report.contenders] == [True, False, True]
    assert limits[1] < limits[0] / 100 < limits[2] / 100


class Cancelling(nn.Module):
    """Loses in half precision what it adds to."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 3000) - 3000


def zeros_for_what_cancels() -> tuple[ExportedProgram, BackendContender]:
    """A file that gives zeros for values that PyTorch in half precision has lost."""
    program = export(Cancelling(), draw())
    zeros = TorchBackend(program, lambda outputs: {name: value * 0 for name, value in outputs.items()})
    return program, contender(program, zeros, precision="fp16")


def test_file_does_not_pass_because_pytorch_is_bad_itself():
    program, zeros = zeros_for_what_cancels()
    result = check(TorchRuns(Model(program)), [zeros], batches_of(1)).contenders[0]
    (failure,) = result.failures
    assert "relative L2 error 1 is 100 times the 0.01 that instability excuses" in str(failure)
    assert 'in a budget file (budget="FILE"), with its reason' in failure.advice
    assert "PyTorch at fp16 errs by a relative L2 of" in " ".join(result.notes)
    assert result.outputs[0].worst_kind.budget.torch_l2 > 0.1


def test_error_that_pytorch_makes_too_is_not_excused_on_ordinary_inputs():
    """Twice PyTorch's own error, where that is a fifth of the values, is no proof."""
    program = export(Cancelling(), draw())
    plain = TorchRuns(Model(program)).run([draw()], "fp16", "")[0]
    as_bad = TorchBackend(program, lambda outputs: {"output": plain})
    result = check(TorchRuns(Model(program)), [contender(program, as_bad, precision="fp16")], batches_of(1)).contenders[
        0
    ]
    (failure,) = result.failures
    assert "that PyTorch's own error excuses" in str(failure)


def test_reason_in_the_budget_file_lets_it_pass():
    program, zeros = zeros_for_what_cancels()
    budget = BudgetFile({"output": Override("output", "differences of this size are not used", limit=100.0)})
    assert check(TorchRuns(Model(program)), [zeros], batches_of(1), Plan(budget=budget)).passed


def test_output_that_no_kind_of_inputs_says_anything_about_does_not_pass():
    program, zeros = zeros_for_what_cancels()
    line = "output: expected inputs on which PyTorch at fp16 keeps its digits, given large alone"
    with pytest.raises(InputError, match=line):
        check(TorchRuns(Model(program)), [zeros], batches_of(1, kind="large"))


def test_inputs_that_were_not_judged_are_in_the_verdict():
    program = export(Cancelling(), draw())
    result = check(
        TorchRuns(Model(program)),
        [contender(program, TorchBackend(program), precision="fp16")],
        batches_of(1, kind="large") + batches_of(1, kind="normal"),
    ).contenders[0]
    assert result.verdict == "within its budget; not judged: output on large"


def test_repetitions_are_compared_to_the_bit_and_each_is_held_to_the_budget(program):
    assert report_of(program).contenders[0].repeatability is None
    steady = report_of(program, repeat=3).contenders[0].repeatability
    assert (steady.runs, steady.bit_equal, len(steady.seconds)) == (3, True, 6)
    calls = iter(range(99))

    def drift(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs["logits"][0, 0] += 1e-3 * next(calls)
        return outputs

    backend = TorchBackend(program, drift)
    calls = iter(range(99))
    result = checked(program, backend, batches_of(1), repeat=3).contenders[0]
    spread = result.repeatability.spreads[0]
    assert (spread.differing, spread.elements) == (2, 40)
    assert spread.largest == pytest.approx(2e-3, rel=1e-3)
    assert outputs_of_result(result).largest_error == pytest.approx(2e-3, rel=1e-2)
    assert next(result_lines(result)).startswith("repeated 3 times: 2 of 40 values of logits differ, by at most 0.002")


def outputs_of_result(result):
    return result.outputs[0].worst_kind


def test_worst_examples_name_the_element_and_what_others_gave(program):
    def off(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[3, 2] += 0.5
        values[1, 0] -= 0.25
        return values

    worst = outputs_of(report_of(program, changed("logits", off)))[0].worst
    assert {(example.batch, example.index) for example in worst[:2]} == {("batch 0", (3, 2)), ("batch 1", (3, 2))}
    assert worst[2].index == (1, 0)
    first = next(example for example in worst if example.batch == "batch 0")
    exact = draw().double() @ Scores().head.weight.double().T + Scores().head.bias.double()
    exact = exact.detach()
    assert first.reference == pytest.approx(float(exact[3, 2]), rel=1e-12)
    assert first.torch == pytest.approx(float(exact[3, 2]), rel=1e-5)
    assert first.given == pytest.approx(float(exact[3, 2]) + 0.5, rel=1e-5)


class Rounded(nn.Module):
    """What PyTorch loses at its precision is a share of the input, which the test chooses."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1e4) - 1e4


def test_verdict_is_that_of_all_batches():
    """Where PyTorch errs more on another batch than the one that the contender is outside on, that counts too."""
    exact, lossy = torch.full((2, 3), 0.5), torch.full((2, 3), 0.4999)
    program = export(Rounded(), exact)
    batches = [Batch("exact", (exact,)), Batch("lossy", (lossy,))]

    def off(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"output": np.where(outputs["output"] == 0.5, np.float32(0.50008), outputs["output"])}

    backend = TorchBackend(program, off)
    suspects: dict[str, Batch] = {}
    assert check(TorchRuns(Model(program)), [contender(program, backend)], batches, suspects=suspects).passed
    assert not suspects
    assert not check(TorchRuns(Model(program)), [contender(program, backend)], batches[:1], suspects=suspects).passed
    assert suspects["file"].source == "exact"


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.masked_fill(x < 0, -1e9).softmax(-1)


def test_precision_that_pytorch_cannot_run_the_model_at_is_said():
    program = export(Masked(), draw())
    half = contender(program, TorchBackend(program), "fp16")
    wanted = (
        "PyTorch cannot run the model in fp16: value cannot be converted to type .*; choose another precision to hold"
    )
    with pytest.raises(BackendError, match=wanted):
        check(TorchRuns(Model(program)), [half], batches_of(1))


class TopOfTies(nn.Module):
    """The value beside the larger of two scores that rounding alone orders."""

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.stack((x[:, 0] / 3, x[:, 1] / 3), -1)
        return torch.gather(x[:, 2:], 1, scores.argmax(-1, keepdim=True))


def test_selection_that_rounding_alone_decides_is_not_blamed_on_the_file():
    """PyTorch happens to choose as the reference does, the file the other way."""
    program, backend = chooses_the_other_way(0.01)
    result = check(TorchRuns(Model(program)), [backend], [Batch("tie", (tied(0.01),))]).contenders[0]
    assert result.passed
    assert result.verdict == "within its budget; excused as unstable: output on data"
    assert result.outputs[0].worst_kind.budget.rounding_error == pytest.approx(0.02)
    assert "the model is unstable there: random rounding to fp32 moves it by 0.02 (relative L2 0.0" in result.notes[0]
    apart = tied(0.01)
    apart[0, 1] = 2.9
    assert not check(TorchRuns(Model(program)), [backend], [Batch("apart", (apart,))]).passed


def test_instability_excuses_errors_of_a_hundredth_and_no_more():
    program, backend = chooses_the_other_way(0.1)
    result = check(TorchRuns(Model(program)), [backend], [Batch("tie", (tied(0.1),))]).contenders[0]
    (failure,) = result.failures
    assert re.search(r"relative L2 error 0\.02\d+ is 2\.\d+ times the 0\.01 that instability excuses", str(failure))
    assert "in a budget file" in failure.advice


def tied(value: float) -> Tensor:
    """Rows of two scores and two values, the scores of the first row tied in float32."""
    return torch.tensor([[3.0, 3.0 * (1 - 1e-9), value, -value], *[[3.0, 1.0, 5.0, -5.0]] * 3], dtype=torch.float64)


def chooses_the_other_way(value: float) -> tuple[ExportedProgram, BackendContender]:
    program = export(TopOfTies(), tied(value))
    backend = TorchBackend(program, lambda outputs: {"output": np.array([[-value], [5.0], [5.0], [5.0]])})
    return program, contender(program, backend, "fp32")


def test_first_batch_that_is_outside_is_handed_on(program):
    backend = TorchBackend(program)
    right = backend.run
    backend.run = lambda inputs: (
        {**right(inputs), "norm": np.float32(0)} if np.array_equal(inputs["x"], draw(seed=2)) else right(inputs)
    )
    suspects: dict[str, Batch] = {}
    check(TorchRuns(Model(program)), [contender(program, backend)], batches_of(4), suspects=suspects)
    assert suspects["file"].source == "batch 2"


def test_progress_follows_every_batch(program):
    seen: list[tuple[str, float | None]] = []
    runs = TorchRuns(Model(program))
    check(
        runs,
        [contender(program, TorchBackend(program))],
        batches_of(3),
        progress=lambda step, done: seen.append((step, done)),
    )
    assert [step for step, _ in seen] == [
        step for batch in range(3) for step in (f"running PyTorch on batch {batch}", f"checking file on batch {batch}")
    ]
    assert seen[0][1] == 0.0


def test_overridden_budget_is_used_and_shown(program):
    from attnexport.accuracy.check.budget_file import BudgetFile
    from attnexport.accuracy.check.override import Override

    def off(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**outputs, "logits": outputs["logits"] + np.float32(1e-3)}

    generous = BudgetFile({"logits": Override("logits", "known", limit=2e-3)})
    tight = BudgetFile({"logits": Override("logits", "known", limit=5e-4)})
    assert not report_of(program, off).passed
    report = report_of(program, off, budget=generous)
    assert report.passed
    assert report.overrides[0].reason == "known"
    failure = report_of(program, off, budget=tight).failures[0]
    assert "is 2 times the allowed 0.0005" in str(failure)
    assert "the budget file allows an error of 0.0005" in str(failure)
