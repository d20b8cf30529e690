"""(module, compiled, strict program, .pt2, factory with weights) by (save, convert, check, record)."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

import attnexport
from attnexport.cli import main
from attnexport.errors import AttnexportError
from attnexport.models.loading.dynamic_shapes import resolve_dynamic_shapes
from tests.matrix import models
from tests.matrix.cases import CASES, Case

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(frozen=True)
class Outcome:
    """What a command said and wrote."""

    refusal: str = ""
    outputs: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    dims: tuple[tuple[str, int, str], ...] = ()
    said: str = ""


def command(*args: object) -> str:
    """What an `attnexport` command prints; an AttnexportError where its exit code is 2."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    if ended.value.code == 2:
        raise AttnexportError(err.getvalue())
    assert not ended.value.code, err.getvalue() + out.getvalue()
    return out.getvalue()


def of_file(path: Path, verified: tuple[str, ...], said: str) -> Outcome:
    graph = onnx.load(path).graph
    dims = tuple(
        (value.name, axis, dim.dim_param)
        for value in graph.input
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        if dim.dim_param
    )
    return Outcome("", tuple(value.name for value in graph.output), verified, dims, said)


def converted_by_command(folder: Path, *args: object) -> Outcome:
    path = folder / "m.onnx"
    said = " ".join(command("convert", *args, "-o", path).split())
    facts = said.partition(" WROTE ")[0]
    verified = tuple((part.rpartition(" SHA-256")[0] or part).strip() for part in facts.split(" ran ")[1:])
    return of_file(path, verified, said)


def converted_in_python(folder: Path, model: object, case: Case) -> Outcome:
    path = folder / "m.onnx"
    result = attnexport.convert(model, case.args(), path, dynamic_shapes=case.dims or None)
    return of_file(path, tuple(text.strip() for text in result.verified), " ".join(result.notes))


def saved(folder: Path, case: Case, wrap: Callable[[nn.Module], Any] = lambda module: module) -> Path:
    attnexport.save(wrap(case.build()), folder / "m.pt2", args=case.args(), dynamic_shapes=case.dims or None)
    return folder / "m.pt2"


def strict(folder: Path, case: Case) -> Path:
    model, args = case.build(), case.args()
    shapes = {name: case.dims.get(name) for name in case.inputs_by_name}
    resolved = resolve_dynamic_shapes(shapes, model, args, {})
    program = torch.export.export(model, args, dynamic_shapes=resolved, strict=True)
    attnexport.save(program, folder / "m.pt2", dynamic_shapes=case.dims or None)
    return folder / "m.pt2"


def weights(folder: Path, case: Case) -> list[Path]:
    """The file of the factory's weights; none where it could not be written."""
    state = case.build().state_dict()
    if any(map(torch.nn.parameter.is_lazy, state.values())):
        return []
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, folder / "w.pt")
    return [folder / "w.pt"]


WAYS: dict[str, Callable[[Path, Case], Outcome]] = {
    "module, save": lambda folder, case: Outcome(said=str(saved(folder, case))),
    "module, convert": lambda folder, case: converted_in_python(folder, case.build(), case),
    "compiled, save": lambda folder, case: Outcome(said=str(saved(folder, case, torch.compile))),
    "strict, convert": lambda folder, case: converted_by_command(folder, strict(folder, case)),
    ".pt2, convert": lambda folder, case: converted_by_command(folder, saved(folder, case)),
    "factory, convert": lambda folder, case: converted_by_command(folder, *weights(folder, case), *case.options),
}


CELLS = [(name, way) for name, case in CASES.items() for way in WAYS if "strict" not in way or case.takes_strict]


@pytest.mark.parametrize(("name", "way"), CELLS)
def test_every_way_in_comes_to_the_same(name: str, way: str, tmp_path: Path) -> None:
    case = CASES[name]
    if case.refusal:
        with pytest.raises(AttnexportError) as refused:
            WAYS[way](tmp_path, case)
        assert case.refusal in str(refused.value)
        assert not [path for path in tmp_path.iterdir() if path.suffix in (".onnx", ".pt2")]
        return
    outcome = WAYS[way](tmp_path, case)
    if way.endswith("save"):
        return
    assert outcome.outputs == tuple(case.outputs)
    assert outcome.verified == tuple(case.verified)
    named = {(entry, axis): dim for entry, axis, dim in outcome.dims}
    for entry, axes in case.dims.items():
        for axis, dim in axes.items():
            if dim != "AUTO":
                assert named[entry, axis].replace(" ", "") == dim
    if not way.startswith("strict"):
        assert all(note in outcome.said for note in case.notes)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with model and ONNX file of a case, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            folder, case = tmp_path_factory.mktemp("case"), CASES[name]
            attnexport.convert(saved(folder, case), None, folder / "m.onnx")
            weights(folder, case)
            made[name] = folder
        return made[name]

    return make


SOURCES = {".pt2": lambda case: ["m.pt2"], "factory": lambda case: ["w.pt", *case.options]}
GENERATED = ("--kinds", "normal,minimum", "--seeds", "1")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refusal])
def test_the_file_is_within_budget_of_either(
    name: str, source: str, files: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files(name))
    report = tmp_path / "report.json"
    command(
        "check",
        *SOURCES[source](CASES[name])[:1],
        "m.onnx",
        *SOURCES[source](CASES[name])[1:],
        *GENERATED,
        "--no-cache",
        "--json",
        report,
    )
    (result,) = json.loads(report.read_text())["contenders"]
    assert [output["name"] for output in result["outputs"]] == list(CASES[name].outputs)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refusal])
def test_a_set_is_recorded_of_either(
    name: str, source: str, files: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files(name))
    command("record", *SOURCES[source](CASES[name]), "-o", tmp_path / "set", "--precisions", "fp32", *GENERATED)
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert list(manifest["outputs"]) == list(CASES[name].outputs)


def test_python_takes_what_the_command_line_takes(
    files: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, case = files("multiple"), CASES["multiple"]
    monkeypatch.chdir(folder)
    factory = f"{models.__name__}:{case.model.__name__}"
    found = {"factory": factory, "weights_key": "model", "strip_prefix": "module."}
    loaded = attnexport.load_model("w.pt", case.args(), dynamic_shapes=case.dims, **found)
    converted = attnexport.convert(loaded, None, "again.onnx")
    assert converted.verified == tuple(case.verified)
    for model in (loaded, "m.pt2"):
        report = attnexport.check(model, ["again.onnx"], kinds="normal,minimum", seeds=1)
        assert report.passed
        assert [output.name for output in report.contenders[0].outputs] == list(case.outputs)
