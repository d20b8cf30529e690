"""What TensorRT says of an engine's layers, however badly, never costs the engine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import attnexport
from attnexport.backends.building import Layer
from attnexport.engines.build_options import BuildOptions
from attnexport.engines.building import build_engine
from attnexport.engines.manifest import Manifest
from attnexport.engines.manifest_json import read_manifest
from attnexport.errors import BackendError
from attnexport.plugins.runtime.building import RuntimeSources
from attnexport.plugins.runtime.runtime import RUNTIME_VARIABLE
from tests.plugins.keeping import compiled_once

TARGET = "jetson-orin-jp6.0"
FIRST = '{"Name": "first", "LayerType": "Gemm", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]}'
SECOND = '{"Name": "second", "LayerType": "Reformat", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]}'

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that every TensorRT takes."""
    path = tmp_path_factory.mktemp("layers") / "model.onnx"
    attnexport.convert(torch.nn.Linear(4, 4), (torch.ones(2, 4),), path, target=TARGET)
    return path


@pytest.fixture
def build(model: Path, fake_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Builds with the native backend; its TensorRT says these bytes of the layers, nothing for None."""
    monkeypatch.setenv(RUNTIME_VARIABLE, str(fake_runtime))

    def invoke(said: bytes | None) -> Manifest:
        layers, engine = tmp_path / "layers.json", tmp_path / "model.engine"
        if said is not None:
            layers.write_bytes(said)
        monkeypatch.setenv("FAKE_ATTNRT_LAYERS", str(layers))
        manifest = build_engine(model, engine, BuildOptions(TARGET, backend="native"))
        assert engine.read_bytes() == b"engine"
        assert read_manifest(engine) == manifest
        return manifest

    return invoke


def notes_on_layers(manifest: Manifest) -> list[str]:
    return [note for note in manifest.notes if "not known" in note]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (b"a\x01b", "a\x01b"),
        (b"a\nb\tc\rd\x1b[2J", "a\nb\tc\rd\x1b[2J"),
        (b"a\xff\xfeb", "a\ufffd\ufffdb"),
        (b"a\xc3", "a\ufffd"),
        (rb"C:\quiet\model", r"C:\quiet\model"),
        (rb"said \"nan\" \u00e9", 'said "nan" \u00e9'),
        (rb"half a pair \ud800", "half a pair \ud800"),
        (b"", ""),
    ],
)
def test_names_may_hold_any_bytes(build, name: bytes, read: str):
    manifest = build(b'{"Layers": [' + FIRST.replace("first", "%s").encode() % name + b', "other"], "Bindings": ["x"]}')
    assert [layer.name for layer in manifest.layers] == [read, "other"]
    assert manifest.precisions == {"fp32": 1.0}
    assert notes_on_layers(manifest) == []


@pytest.mark.parametrize("number", ["nan", "NaN", "-nan", "-nan(ind)", "inf", "-Infinity", "nan(0x7)", "1e5"])
def test_numbers_need_not_be_those_of_json(build, number: str):
    manifest = build(f'{{"Layers": [{FIRST[:-1]}, "Weights": {{"Count": {number}}}}}, {SECOND}]}}'.encode())
    assert [layer.name for layer in manifest.layers] == ["first", "second"]
    assert notes_on_layers(manifest) == []


@pytest.mark.parametrize("left", [0, 5, 30])
def test_a_list_cut_short_gives_what_came_before(build, left: int):
    text = f'{{"Layers": [{FIRST},\n{FIRST},\n{SECOND}],\n"Bindings": []}}'
    manifest = build(text[: text.index(SECOND) + left].encode())
    assert manifest.layers[:2] == (Layer("first", "Gemm", ("fp32",)),) * 2
    assert notes_on_layers(manifest) == [note for note in manifest.notes if "after the first" in note] != []


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00",
        b"nothing of use",
        b"[]",
        b"{}",
        b'{"Layers": 3}',
        b'{"Layers": [3, null]}',
        b'{"Layers": [[]]}',
        b'{"Layers": ' + b"[" * 100_000,
        None,
    ],
)
def test_what_cannot_be_read_is_a_note(build, said: bytes | None):
    manifest = build(said)
    assert manifest.layers == ()
    (note,) = notes_on_layers(manifest)
    assert "not known" in note
    assert "\n" not in note


def test_layers_of_odd_shapes_are_layers(build):
    manifest = build(b'{"Layers": [{"Name": null, "Outputs": null}, {"Outputs": [1, {}]}, {}]}')
    assert len(manifest.layers) == 3
    assert notes_on_layers(manifest) == []


def test_precision_is_not_judged_by_some_of_the_layers(build):
    half = FIRST.replace("FP32", "FP16")
    with pytest.raises(BackendError, match="expected layers of fp32"):
        build(f'{{"Layers": [{half}]}}'.encode())
    assert build(f'{{"Layers": [{half}, {SECOND[:20]}'.encode()).precisions == {"fp16": 1.0}


def test_an_engine_that_cannot_be_loaded_here_is_kept(
    model: Path, fake_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(RUNTIME_VARIABLE, str(fake_runtime))
    monkeypatch.delenv("FAKE_ATTNRT_LAYERS", raising=False)
    manifest = build_engine(model, tmp_path / "m.engine", BuildOptions(TARGET, backend="native"))
    assert notes_on_layers(manifest) == ["the engine's layers are not known: out of memory"]
    assert (tmp_path / "m.engine").read_bytes() == b"engine"


@pytest.fixture(scope="session")
def mend_json() -> Path:
    """Writes texts and another's JSON as attnrt's program does."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    program = RuntimeSources().root / "program"

    def compile_all(folder: Path) -> None:
        sources = [str(program / "json.cpp"), str(HERE / "mend_json.cpp")]
        command = ["g++", "-std=c++17", "-D_GLIBCXX_ASSERTIONS", f"-I{program}", "-o", str(folder / "mend"), *sources]
        subprocess.run(command, check=True)

    return compiled_once("mend_json", compile_all) / "mend"


def mended(program: Path, kind: str, given: bytes) -> object:
    done = subprocess.run([str(program), kind], input=given, capture_output=True, check=True)
    return json.loads(done.stdout.decode())


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (b'a"b\\c\x01\n', 'a"b\\c\x01\n'),
        ("é€😀".encode(), "é€😀"),
        (b"\xff\xc3(\xe2\x82 \xed\xa0\x80 \xc0\xaf \xf5", "??(?? ??? ?? ?"),
        (b"nul\x00 within", "nul\x00 within"),
    ],
)
def test_the_programs_own_texts_are_json(mend_json: Path, given: bytes, read: str):
    assert mended(mend_json, "text", given) == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (b'{"Layers": ["a\x01\nb\xff", {"n": -nan, "m": inf, "k": -1.5e3, "t": true}]}', None),
        (rb'{"Layers": ["C:\quiet \u00e9 \\"]}', {"Layers": ["C:\\quiet é \\"]}),
        (b' {"Layers": []}\n', {"Layers": []}),
    ],
)
def test_tensorrts_json_stays_json(mend_json: Path, given: bytes, read: object):
    read = read or {"Layers": ["a\x01\nb?", {"n": None, "m": None, "k": -1500.0, "t": True}]}
    assert mended(mend_json, "another", given) == read


@pytest.mark.parametrize("given", [b"", b'{"Layers": ["a', b'{"Layers": [1}', b"]", b'{"a": 1} \x01', b"<none>"])
def test_what_is_not_whole_is_one_text(mend_json: Path, given: bytes):
    assert mended(mend_json, "another", given) == given.decode()
