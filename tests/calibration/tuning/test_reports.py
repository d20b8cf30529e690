"""What tune prints and writes: the same figures everywhere, names as text, and a page that asks for nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import attnexport
from attnexport.calibration.tuning.html_page import render
from attnexport.calibration.tuning.json_report import as_json
from attnexport.errors import InputError
from tests.calibration.tuning.chain import LAYERS, save_chain, save_data
from tests.files.documented_json import assert_documented
from tests.tools.chromium import CONTRAST_AA, LOW_CONTRAST, MISPLACED_TEXTS, Chromium, open_all


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chain(tmp_path_factory.mktemp("chain") / "chain.onnx")


@pytest.fixture(scope="module")
def data(model: Path) -> Path:
    return save_data(model.with_name("data.npz"), model)


@pytest.fixture(scope="module")
def found(model: Path, data: Path) -> attnexport.Tuning:
    return attnexport.tune(
        model,
        model.with_name("tuned.onnx"),
        data=data,
        metrics=["accuracy"],
        max_drop=0.01,
        max_error=0.05,
        candidates=["int8", "fp16"],
        timer=lambda path: path.stat().st_size / 1000,
    )


def test_json_has_what_the_page_on_formats_says(found: attnexport.Tuning):
    written = as_json(found)
    assert_documented(written)
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["chosen"]["layers"] == {layer.name: layer.candidate for layer in found.layers}
    assert written["passed"] is True


def test_every_file_on_the_front_is_told_with_its_layers(found: attnexport.Tuning):
    told = [plan for plan in as_json(found)["plans"] if plan["on_front"]]
    assert len(told) >= 3
    assert all(list(plan["layers"]) == list(LAYERS) for plan in told)
    sizes, errors = [plan["weight_bytes"] for plan in told], [plan["error"] for plan in told]
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_the_page_shows_every_layer_and_every_file_and_needs_nothing_else(found: attnexport.Tuning):
    page = render(found)
    assert page.count('<svg class="plot" viewBox') >= 3
    for layer in found.layers:
        for name, measured in layer.alone.items():
            assert f"{layer.name} alone in {name}: accuracy worse by {measured.metrics[0].drop:.3g}" in page
    timed = sum(plan.milliseconds is not None for plan in found.plans)
    assert timed >= 3
    assert page.count("<title>") == 1 + 2 * len(found.layers) + len(found.plans) + timed
    assert "1 of 200 predictions is 0.5 points" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_names_from_files_stay_text(found: attnexport.Tuning):
    hostile = "<script>alert(1)</script>\"'&"
    layers = tuple(replace(layer, name=f"{hostile}{at}") for at, layer in enumerate(found.layers))
    page = render(replace(found, layers=layers, model=hostile, notes=(hostile,)))
    assert "<script" not in page
    assert "&lt;script" in page


def test_a_page_is_made_of_what_failed_and_was_not_timed(found: attnexport.Tuning):
    layers = tuple(replace(layer, candidate="") for layer in found.layers)
    plans = tuple(replace(plan, milliseconds=None) for plan in found.plans)
    page = render(
        replace(found, chosen=None, path=None, layers=layers, plans=plans, timing="not timed: no engine can run here")
    )
    assert "no file with layers in int8, fp16 holds accuracy worse by at most 0.01 and an error of at most 0.05" in page
    assert "milliseconds of a run" not in page


def test_reports_are_saved_by_their_names(found: attnexport.Tuning, tmp_path: Path):
    found.save(tmp_path / "found.json")
    found.save(tmp_path / "found.html")
    assert json.loads((tmp_path / "found.json").read_text()) == as_json(found)
    assert (tmp_path / "found.html").read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match=r"expected a name that ends in \.html, \.json"):
        found.save(tmp_path / "found.txt")


def test_the_command_writes_prints_and_says_what_it_chose(run, model: Path, data: Path, tmp_path: Path):
    options = ("--data", data, "--metric", "accuracy", "--max-drop", 0.004, "--max-error", 0.05, "--no-cache")
    reports = ("--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
    result = run("tune", model, "-o", tmp_path / "t.onnx", *options, "--candidates", "int8,half", *reports)
    assert (result.code, result.err) == (0, "")
    written = json.loads((tmp_path / "r.json").read_text())
    last = result.out.splitlines()[-1]
    share = f"{100 * written['quantized']:.0f} % of the weights quantized"
    assert last.startswith(f"WROTE {tmp_path / 't.onnx'}: {share}; accuracy worse by 0, error ")
    assert f"{written['chosen']['error']:.2e}" in last
    assert "1 of 200 predictions is 0.5 points, more than what may be lost" in result.text
    assert "not timed: " in result.text
    assert "note: ranges are from the data that is measured on; --calibration takes others" in result.text


def test_the_command_fails_where_nothing_holds_and_writes_reports_alone(run, model: Path, data: Path, tmp_path: Path):
    options = ("--data", data, "--max-error", 0, "--no-cache", "--candidates", "int8", "--json", tmp_path / "r.json")
    result = run("tune", model, "-o", tmp_path / "t.onnx", *options)
    assert result.code == 1
    verdict = f"FAILED {model}: no file with layers in int8 holds an error of at most 0: nothing written"
    assert result.out.splitlines()[-1] == verdict
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    assert json.loads((tmp_path / "r.json").read_text())["chosen"] is None


def test_json_may_go_to_standard_output(run, model: Path, data: Path, tmp_path: Path):
    options = ("--data", data, "--max-error", 1, "--no-cache", "--candidates", "int8", "--json", "-")
    result = run("tune", model, "-o", tmp_path / "t.onnx", *options)
    assert json.loads(result.out)["schema"] == "attnexport.tune/1"


def test_the_command_refuses_in_one_line(run, model: Path, data: Path, tmp_path: Path):
    result = run("tune", model, "-o", tmp_path / "t.onnx", "--data", data, "--max-error", 1, "--html", data)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("width", "scheme"), [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]
)
def test_the_page_can_be_read_on_every_screen(found: attnexport.Tuning, chromium: Chromium, width: int, scheme: str):
    opened = chromium.open(render(found), width=width, scheme=scheme)
    open_all(opened.page)
    assert (opened.requests, opened.messages) == ([opened.url], [])
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.evaluate(LOW_CONTRAST, CONTRAST_AA) == []
    assert opened.page.evaluate(MISPLACED_TEXTS) == []
