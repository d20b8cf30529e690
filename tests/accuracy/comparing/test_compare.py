"""compare: what became better or worse between two checks, matched by contender, and refused where it is no report."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import attnexport
from attnexport.accuracy.check.results import CheckReport, ContenderResult
from attnexport.accuracy.comparing.comparison import (
    BETTER,
    GONE,
    NEW,
    SAME,
    WORSE,
    Compared,
    Comparison,
    Figure,
    Measured,
)
from attnexport.accuracy.reports.comparison.json_report import as_json
from attnexport.accuracy.reports.comparison.markdown import render
from attnexport.accuracy.reports.comparison.terminal import shown, verdict
from attnexport.display.terminal import Terminal
from attnexport.errors import InputError
from tests.accuracy.reports.made_reports import failing_report, full_report, hostile_report, passing_report
from tests.files.documented_json import assert_documented, assert_holds


def with_errors(report: CheckReport, factor: float, name: str = "") -> CheckReport:
    """The report with all errors so many times as large, and its first contender under another name."""

    def scaled(result: ContenderResult) -> ContenderResult:
        outputs = tuple(
            dataclasses.replace(
                output,
                kinds=tuple(
                    dataclasses.replace(kind, largest_error=factor * kind.largest_error) for kind in output.kinds
                ),
            )
            for output in result.outputs
        )
        facts = dataclasses.replace(result.facts, name=name or result.facts.name)
        return dataclasses.replace(result, outputs=outputs, facts=facts)

    return dataclasses.replace(report, contenders=tuple(scaled(result) for result in report.contenders))


def changes(comparison: Comparison) -> set[str]:
    """Of every output."""
    return {figure.change for contender in comparison.contenders for figure in contender.outputs}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (0.5, 0.5, SAME),
        (0.5, 0.54, SAME),
        (0.5, 0.7, WORSE),
        (0.7, 0.5, BETTER),
        (0.001, 0.009, SAME),
        (0.98, 1.02, WORSE),
        (1.02, 0.98, BETTER),
        (50.0, math.inf, WORSE),
        (math.inf, math.inf, SAME),
        (math.nan, 2.0, BETTER),
        (None, 0.5, NEW),
        (0.5, None, GONE),
    ],
)
def test_a_change_of_more_than_a_tenth_and_any_of_a_verdict_counts(before, after, change: str):
    figures = [None if value is None else Figure(value, value <= 1) for value in (before, after)]
    found = Compared("output", *figures)
    assert found.change == change
    assert found.regressed == (change == WORSE and before <= 1 < after)


def test_the_same_report_twice_is_the_same():
    for made in (passing_report, failing_report, full_report, hostile_report):
        found = attnexport.compare(made(), made())
        assert (found.passed, found.change, found.notes, found.new, found.gone) == (True, SAME, (), (), ())
        assert not [contender for contender in found.contenders if contender.failures]


def test_what_passed_and_now_fails_is_worse_and_the_other_way_better():
    good, bad = passing_report(), with_errors(passing_report(), 100)
    there, back = attnexport.compare(good, bad), attnexport.compare(bad, good)
    assert (there.passed, there.change, changes(there)) == (False, WORSE, {WORSE})
    assert (back.passed, back.change, changes(back)) == (True, BETTER, {BETTER})


def test_larger_errors_within_the_budget_are_worse_and_do_not_fail():
    found = attnexport.compare(passing_report(), with_errors(passing_report(), 1.3))
    assert (found.passed, found.change, changes(found)) == (True, WORSE, {WORSE})


def test_contenders_are_matched_by_name_then_by_file_name_and_one_by_position():
    before = failing_report()
    turned = dataclasses.replace(before, contenders=before.contenders[::-1])
    pairs = [(one.before_name, one.name) for one in attnexport.compare(before, turned).contenders]
    assert pairs == [("vit.fp16.onnx", "vit.fp16.onnx"), ("vit.onnx", "vit.onnx")]
    moved = dataclasses.replace(
        turned,
        contenders=tuple(
            dataclasses.replace(one, facts=dataclasses.replace(one.facts, name=f"elsewhere/{one.facts.name}"))
            for one in turned.contenders
        ),
    )
    found = attnexport.compare(before, moved)
    assert [(one.before_name, one.name) for one in found.contenders] == [
        ("vit.fp16.onnx", "elsewhere/vit.fp16.onnx"),
        ("vit.onnx", "elsewhere/vit.onnx"),
    ]
    alone = attnexport.compare(passing_report(), with_errors(passing_report(), 1.0, "new.onnx"))
    assert [(one.before_name, one.name) for one in alone.contenders] == [("vit.onnx", "new.onnx")]
    found = attnexport.compare(before, with_errors(passing_report(), 1.0, "new.onnx"))
    assert (found.contenders, found.new, found.gone) == (
        (),
        ("new.onnx",),
        ("vit.onnx", "vit.fp16.onnx"),
    )
    assert str(verdict(found)).startswith("UNJUDGED ")


def test_a_percent_of_accuracy_is_no_rounding_and_nan_is_worse_than_any():
    small, larger, nan = (Measured(drop, True, judged=False) for drop in (0.001, 0.009, math.nan))
    assert Compared("accuracy", small, larger).change == WORSE
    assert Compared("accuracy", small, nan).change == WORSE


def test_layers_and_hazards_are_compared():
    before = failing_report()
    single, half = before.contenders
    assert half.bisection is not None
    layers = list(half.bisection.layers)
    layers[3] = dataclasses.replace(layers[3], largest_error=1e6 * layers[3].largest_error)
    bisection = dataclasses.replace(half.bisection, layers=tuple(layers), guilty=layers[3])
    hazards = tuple(dataclasses.replace(hazard, reached=True, value=1e9) for hazard in before.hazards)
    after = dataclasses.replace(
        before, contenders=(single, dataclasses.replace(half, bisection=bisection)), hazards=hazards
    )
    found = attnexport.compare(before, after)
    worse = [figure.name for figure in found.contenders[1].layers if figure.change == WORSE]
    assert worse == ["blocks.1.attention (attnexport.krause_attention)"]
    assert found.contenders[1].guilty_before.startswith("blocks.7.attention")
    assert found.contenders[1].guilty_after.startswith("blocks.1.attention")
    assert {hazard.change for hazard in found.hazards} == {WORSE}
    assert found.passed, "hazards and layers fail nothing by themselves"


def test_another_model_other_inputs_and_other_versions_are_noted():
    before = passing_report()
    after = dataclasses.replace(
        before,
        model=dataclasses.replace(before.model, source_hash="other"),
        inputs_sha256="22" * 32,
        environment={**before.environment, "torch": "2.14.0"},
    )
    assert attnexport.compare(before, after).notes == (
        "the models differ in graph or weights, so that figures are of two models: vit.pt2 and vit.pt2",
        "the inputs differ: a figure may have changed with them alone",
        "torch: 2.13.0 before, 2.14.0 after",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object"),
        ('{"schema": "attnexport.run/1"}', 'schema: expected attnexport.check/1, given "attnexport.run/1"'),
        ('{"schema": "attnexport.check/1"}', "model: expected a value, given none"),
    ],
)
def test_what_is_no_report_of_a_check_is_refused_with_its_file(tmp_path: Path, text: str, said: str):
    path = tmp_path / "other.json"
    path.write_text(text)
    passing_report().save(tmp_path / "good.json")
    with pytest.raises(InputError) as caught:
        attnexport.compare(tmp_path / "good.json", path)
    assert str(caught.value).startswith(f"{path}: {said}")
    with pytest.raises(InputError, match=r"none.json: cannot be read: No such file"):
        attnexport.compare(tmp_path / "none.json", tmp_path / "good.json")


def test_files_say_what_the_reports_in_memory_say(tmp_path: Path):
    """And further keys, of later versions, are no fault."""
    before, after = full_report(), with_errors(failing_report(), 3)
    for name, report in (("before", before), ("after", after)):
        report.save(tmp_path / f"{name}.json")
    written = json.loads((tmp_path / "after.json").read_text())
    written["later"] = written["contenders"][0]["facts"]["later"] = {"more": 1}
    (tmp_path / "after.json").write_text(json.dumps(written))
    found = attnexport.compare(tmp_path / "before.json", tmp_path / "after.json")
    wanted = attnexport.compare(before, after)
    assert dataclasses.replace(found, before=wanted.before, after=wanted.after) == wanted
    for name in ("c.json", "c.md", "c.html"):
        found.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size
    with pytest.raises(InputError, match=r"c.txt: expected a name that ends in .html, .json, .md$"):
        found.save(tmp_path / "c.txt")


def test_every_field_is_in_json_and_documented():
    before, after = full_report(), failing_report()
    after = dataclasses.replace(after, notes=())
    found = dataclasses.replace(attnexport.compare(before, after), new=("a.onnx",), notes=("a note",))
    written = as_json(found)
    assert_holds(written, found, more={"Comparison.schema"})
    assert_documented(written)


def test_markdown_and_terminal_name_what_changed():
    found = attnexport.compare(passing_report(), with_errors(passing_report(), 100))
    text = render(found)
    assert text.startswith("## ❌ `vit.pt2`: worse")
    assert "| 🔻 | `logits, normal inputs` |" in text
    assert "now fails" in text
    lines = [
        line for part in shown(found) for line in ([part] if isinstance(part, str) else part.lines(Terminal(width=80)))
    ]
    assert any("now fails" in line for line in lines)
    assert str(verdict(found)).startswith("FAILED after: 1 figure that passed now fails")


def test_hostile_names_stay_text_in_markdown():
    found = attnexport.compare(hostile_report(), with_errors(hostile_report(), 5))
    for token in MarkdownIt("commonmark").enable(["table"]).parse(render(found)):
        for part in (token, *(token.children or ())):
            assert part.type not in ("link_open", "image")
            assert "script" not in part.content or part.type not in ("html_block", "html_inline")


def test_a_place_that_was_wrong_before_is_not_newly_wrong():
    """Whatever the amount; another output, layer or metric is."""
    before = failing_report()
    single, half = before.contenders
    changed = [dataclasses.replace(failure, amount="is 7 times as much") for failure in half.failures]
    other = dataclasses.replace(half.failures[0], output="features", where="output features, normal inputs")
    after = dataclasses.replace(before, contenders=(single, dataclasses.replace(half, failures=(*changed, other))))
    assert attnexport.compare(before, after).contenders[1].failures == (str(other),)
