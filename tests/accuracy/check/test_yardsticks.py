"""What a file is held to, the same alone and among others; and PyTorch itself, the yardstick that is not judged."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

import attnexport
from attnexport.accuracy.check.budget_file import BudgetFile
from attnexport.accuracy.check.check import check
from attnexport.accuracy.check.judging import Plan
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.check.results import CheckReport, ContenderResult
from attnexport.accuracy.contenders.contenders import Contender
from attnexport.accuracy.contenders.opening import Opener
from attnexport.accuracy.contenders.texts import parse_contender
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.errors.metrics import find_metric
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.reports import html, junit, markdown
from attnexport.accuracy.reports.json_report import as_json
from attnexport.accuracy.reports.terminal import contender_table
from attnexport.accuracy.reports.wording import headline
from attnexport.display.terminal import Terminal
from attnexport.models.model import Model
from tests.accuracy.backend import TorchBackend, contender
from tests.accuracy.contenders.quantized_models import ASYMMETRIC, QDQ, make_files, quantize


def shown(result: ContenderResult) -> str:
    """The table of the terminal."""
    return "\n".join(contender_table(result).lines(Terminal(200)))


def alone(report: CheckReport, name: str) -> CheckReport:
    """The report with one contender, and without the durations and the environment that belong to all."""
    (result,) = (result for result in report.contenders if result.facts.name == name)
    return replace(
        report,
        contenders=(replace(result, seconds=0.0),),
        times=replace(report.times, reference=0.0, yardsticks=0.0, total=0.0, cached=0),
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[CheckReport], dict[str, CheckReport]]:
    """Names of four contenders, checks of all in several orders and with a cache, and a check of each alone."""
    folder = tmp_path_factory.mktemp("yardsticks")
    files = make_files(folder)
    int8 = [quantize(files, f"{number}.onnx", options=options) for number, options in enumerate((QDQ, ASYMMETRIC))]
    names = [str(files.floating), "torch:fp16", *map(str, int8)]

    def checked(*contenders: str, cache: Path | None = None) -> CheckReport:
        return attnexport.check(files.model, contenders, kinds="normal,large,one-hot", cache=cache)

    cache = folder / "cache"
    together = [checked(*names, cache=cache), checked(*names[::-1]), checked(*names, cache=cache)]
    assert together[2].times.cached
    return names, together, {name: checked(name) for name in names}


@pytest.mark.parametrize("number", range(4))
def test_figures_of_a_file_do_not_depend_on_what_stands_beside_it(reports, number: int):
    names, together, each = reports
    name = names[number]
    wanted = alone(each[name], name)
    for report in together:
        found = alone(report, name)
        assert as_json(found) == as_json(wanted)
        assert shown(found.contenders[0]) == shown(wanted.contenders[0])
        assert markdown.render(found) == markdown.render(wanted)
        assert html.render(found) == html.render(wanted)


class Rounded(nn.Module):
    """What PyTorch loses at its precision is a share of the input, which the test chooses."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1e4) - 1e4


EXACT, LOSSY = torch.full((2, 3), 0.5), torch.full((2, 3), 0.4999)


@pytest.fixture(scope="module")
def rounded() -> ExportedProgram:
    return torch.export.export(Rounded(), (EXACT,), strict=False)


def test_pytorch_runs_once_on_every_batch_whatever_stands_there(rounded: ExportedProgram):
    """And its own errors are those of all batches, also for a file that errs on none."""
    batches = [Batch("exact", (EXACT,)), Batch("lossy", (LOSSY,)), Batch("exact again", (EXACT,))]
    right = TorchBackend(rounded)
    right.run = lambda inputs: {"output": inputs["x"]}
    runs, ran = TorchRuns(Model(rounded)), []
    run = runs.run

    def counted(tensors, precision, digest):
        ran.append(precision)
        return run(tensors, precision, digest)

    runs.run = counted
    torch32 = Opener(runs).open(parse_contender("torch:fp32"))
    report = check(runs, [contender(rounded, right), contender(rounded, TorchBackend(rounded)), torch32], batches)
    assert ran == ["fp64", "fp32"] * 3
    found = [result.outputs[0].worst_kind for result in report.contenders]
    assert {kind.budget.torch_error for kind in found} == {found[2].largest_error}
    assert found[2].largest_error > 5e-5 > found[0].largest_error


def checked_torch(program: ExportedProgram, text: str = "torch:fp16", precision: str | None = None, **plan):
    """A check of PyTorch at a precision, alone."""
    runs = TorchRuns(Model(program))
    opened: Contender = Opener(runs, precision).open(parse_contender(text))
    labels = np.zeros((2,), np.int64)
    return check(runs, [opened], [Batch("lossy", (LOSSY,), labels)], Plan(**plan))


def test_pytorch_at_its_own_precision_is_a_yardstick_in_every_report(rounded: ExportedProgram):
    report = checked_torch(rounded)
    (result,) = report.contenders
    assert (report.passed, report.judged, report.outcome) == (True, False, "not judged")
    assert (result.passed, result.judged, result.outcome, result.share) == (True, False, "yardstick", None)
    assert headline(report).startswith("nothing was judged: torch:fp16 is the yardstick of its precision")
    assert "yardstick" in shown(result)
    assert "within" not in shown(result)
    for text in (markdown.render(report), html.render(report)):
        assert "nothing was judged" in text
        assert "within the error budget" not in text
        assert not re.search(r">passed<|\*\*Passed|✅|^Passed", text)
    written = as_json(report)
    assert (written["outcome"], written["judged"]) == ("not judged", False)
    assert written["contenders"][0]["outcome"] == "yardstick"
    assert '<skipped message="nothing was judged: ' in junit.render(report)


@pytest.mark.parametrize(
    ("precision", "plan", "outcome"),
    [
        ("fp16", {}, "yardstick"),
        ("fp32", {}, "failed"),
        (None, {"metrics": (find_metric("accuracy"),)}, "yardstick"),
        (None, {"metrics": (find_metric("accuracy"),), "max_drop": 0.5}, "passed"),
        (None, {"budget": BudgetFile({"output": Override("output", "is read by eye", limit=10.0)})}, "passed"),
        (None, {"budget": BudgetFile({"output": Override("output", "is read by eye", limit=1e-3)})}, "failed"),
    ],
)
def test_pytorch_is_judged_by_another_precision_a_metric_or_a_budget_file(rounded, precision, plan, outcome: str):
    report = checked_torch(rounded, precision=precision, **plan)
    (result,) = report.contenders
    assert result.outcome == outcome
    assert report.passed == (outcome != "failed")


def test_a_yardstick_that_overflows_is_wrong(rounded: ExportedProgram):
    """That needs nothing to be held to."""
    runs = TorchRuns(Model(rounded))
    opened = Opener(runs).open(parse_contender("torch:fp16"))
    report = check(runs, [opened], [Batch("huge", (torch.full((2, 3), 1e5),), kind="normal")])
    assert (report.outcome, report.contenders[0].outcome) == ("failed", "failed")
    assert "NaN or infinite" in str(report.failures[0])


def test_others_are_counted_without_the_yardstick(rounded: ExportedProgram):
    runs = TorchRuns(Model(rounded))
    contenders = [contender(rounded, TorchBackend(rounded)), Opener(runs).open(parse_contender("torch:fp16"))]
    report = check(runs, contenders, [Batch("lossy", (LOSSY,))])
    assert headline(report) == "1 contender within the error budget; torch:fp16 is the yardstick of its precision"
    assert report.outcome == "passed"
