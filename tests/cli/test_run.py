"""``attnexport run``: ONNX files run, engines that cannot be run here are refused by cause."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from onnx.helper import make_node

from attnexport.engines.manifest_json import read_manifest, write_manifest
from attnexport.engines.names import manifest_path
from tests.cli.commands import Refuse, Run
from tests.cli.models import CLASSES, WIDTH
from tests.engines.models import save_graph, value


def arrays(batch: int = 3, tokens: int = 7, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, tokens, width)).astype(np.float32)


def test_a_run_writes_what_onnx_runtime_computes(run: Run, converted: Path, tmp_path: Path):
    x = arrays()
    np.savez(tmp_path / "in.npz", x=x.astype(np.float64), labels=np.zeros(3), more=x)
    report = tmp_path / "report.json"
    options = ("-o", tmp_path / "out.npz", "--time", 20, "--json", report)
    result = run("run", converted, "--data", tmp_path / "in.npz", *options)
    assert (result.code, result.err) == (0, "")
    for text in ("ran by ONNX Runtime ", "attention 2 nodes through bodies", "precision fp32", "of 20 runs", " rows/s"):
        assert text in result.text
    assert f"inputs x 3x7x{WIDTH}" in result.text
    assert f"outputs output 3x7x{CLASSES}" in result.text
    assert "no input takes more" in result.text
    (expected,) = onnxruntime.InferenceSession(str(converted)).run(None, {"x": x})
    with np.load(tmp_path / "out.npz") as written:
        assert np.array_equal(written["output"], expected)
    timing = json.loads(report.read_text())["timing"]
    assert 0 < timing["minimum"] <= timing["median"] <= timing["p99"]
    assert timing["rows_per_second"] == pytest.approx(3000 / timing["median"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"y": arrays()}, "expected an array for input x (batch, tokens, 16) float32, given y"),
        ({"x": arrays(width=15)}, "expected x (batch, tokens, 16) float32, given (3, 7, 15) float32"),
        ({"x": arrays()[0]}, "expected x (batch, tokens, 16) float32, given (7, 16) float32"),
        ({"x": arrays().astype(int)}, "expected x (batch, tokens, 16) float32, given (3, 7, 16) int64"),
    ],
)
def test_arrays_that_do_not_fit(
    given: dict[str, np.ndarray], said: str, refuse: Refuse, converted: Path, tmp_path: Path
):
    data = tmp_path / "in.npz"
    np.savez(data, **given)
    assert refuse("run", converted, "--data", data, "-o", tmp_path / "o.npz") == f"attnexport: {data}: {said}"


@pytest.mark.parametrize("name", ["file", "../y"])
def test_outputs_of_any_name_and_data_in_bfloat16(name: str, run: Run, tmp_path: Path):
    model = save_graph(tmp_path / "m.onnx", [make_node("Relu", ["x"], [name])], [value("x", [4])], outputs=(name,))
    x = np.array([1, -2, 3.140625, 0], ml_dtypes.bfloat16)
    np.savez(tmp_path / "in.npz", x=x)
    result = run("run", model, "--data", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert (result.code, result.err) == (0, "")
    with np.load(tmp_path / "out.npz") as written:
        assert np.array_equal(written[name], np.maximum(x.astype(np.float32), 0))


def test_a_model_without_inputs_is_timed(run: Run, tmp_path: Path):
    node = make_node("Constant", [], ["y"], value_floats=[1.0, 2.0])
    model = save_graph(tmp_path / "m.onnx", [node], [])
    np.savez(tmp_path / "in.npz")
    result = run("run", model, "--data", tmp_path / "in.npz", "--time", 2)
    assert (result.code, result.err) == (0, "")
    assert "of 2 runs" in result.text


def test_inputs_that_are_no_numbers(refuse: Refuse, tmp_path: Path):
    model = save_graph(tmp_path / "m.onnx", [make_node("Cast", ["x"], ["y"], to=1)], [value("x", [4], 8)])
    np.savez(tmp_path / "in.npz", x=np.array(list("1234")))
    line = refuse("run", model, "--data", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert line == f"attnexport: {model}: x: expected a tensor of numbers, given tensor(string)"


def test_what_onnx_runtime_says_comes_once(refuse: Refuse, tmp_path: Path):
    model = save_graph(
        tmp_path / "m.onnx", [make_node("Reshape", ["x", "shape"], ["y"])], [value("x", [4]), value("shape", [1], 7)]
    )
    np.savez(tmp_path / "in.npz", x=np.zeros(4, np.float32), shape=np.array([5]))
    assert "ONNX Runtime cannot run it: " in refuse("run", model, "--data", tmp_path / "in.npz")


def test_two_outputs_of_one_name(refuse: Refuse, converted: Path, tmp_path: Path):
    np.savez(tmp_path / "in.npz", x=arrays())
    both = tmp_path / "out"
    line = refuse("run", converted, "--data", tmp_path / "in.npz", "-o", both, "--json", both)
    assert line == f"attnexport: {both}: expected another name for each output, given one twice"


def test_data_that_is_none(refuse: Refuse, converted: Path, tmp_path: Path):
    (tmp_path / "noise.npz").write_bytes(b"noise")
    assert "expected an .npz archive of plain arrays" in refuse("run", converted, "--data", tmp_path / "noise.npz")
    assert "no such file" in refuse("run", converted, "--data", tmp_path / "none.npz")


def test_a_device_that_is_missing(refuse: Refuse, converted: Path, tmp_path: Path):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    np.savez(tmp_path / "in.npz", x=arrays())
    line = refuse("run", converted, "--data", tmp_path / "in.npz", "--device", "cuda")
    assert "device cuda: this ONNX Runtime has no CUDAExecutionProvider" in line


def test_plugins_are_for_engines(refuse: Refuse, converted: Path, tmp_path: Path):
    np.savez(tmp_path / "in.npz", x=arrays())
    line = refuse("run", converted, "--data", tmp_path / "in.npz", "--plugins", tmp_path / "lib.so")
    assert line.startswith("attnexport: --plugins: engines alone use a plugin library")


@pytest.mark.needs("tensorrt-rtx")
class TestEngines:
    """An engine that was built ahead of time, and what must be so before it is opened."""

    @pytest.fixture(scope="class")
    def built(self, run: Run, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        engine = tmp_path_factory.mktemp("engine") / "small.engine"
        shapes = f"x=1x2x{WIDTH}:2x9x{WIDTH}:4x32x{WIDTH}"
        assert run("build", converted, "-o", engine, "--target", "rtx-40", "--shapes", shapes).code == 0
        np.savez(engine.parent / "in.npz", x=arrays())
        return engine

    @pytest.fixture
    def engine(self, built: Path, tmp_path: Path) -> Path:
        for file in built.parent.iterdir():
            shutil.copy(file, tmp_path)
        return tmp_path / built.name

    @pytest.fixture
    def refuse_run(self, refuse: Refuse, engine: Path):
        def invoke(*options: object) -> str:
            return refuse("run", engine, "--data", engine.parent / "in.npz", *options).removeprefix("attnexport: ")

        return invoke

    def test_without_a_gpu(self, refuse_run, engine: Path):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        expected = "an engine of TensorRT-RTX runs on a GPU alone, and torch finds none here"
        assert refuse_run() == f"{engine}: {expected}"

    def test_without_its_manifest(self, refuse_run, engine: Path):
        manifest_path(engine).unlink()
        assert refuse_run().startswith(f"{manifest_path(engine)}: no such file; attnexport build writes it")

    def test_with_another_engines_manifest(self, refuse_run, engine: Path):
        engine.write_bytes(engine.read_bytes() + b"more")
        assert refuse_run().startswith(f"{engine}: expected SHA-256 ")

    def test_with_a_manifest_that_is_none(self, refuse_run, engine: Path):
        written = json.loads(manifest_path(engine).read_text())
        other = [{**written, "sms": ["89"]}, {**written, "more": 1}, {**written, "model": None}]
        for text in ("noise", "[]", '{"format": 2}', '{"format": 1}', 100_000 * "[", *map(json.dumps, other)):
            manifest_path(engine).write_text(text)
            assert refuse_run().startswith(
                f"{manifest_path(engine)}: expected a manifest of format 1 of attnexport build: "
            )

    def test_of_another_tensorrt(self, refuse_run, engine: Path):
        manifest = read_manifest(engine)
        write_manifest(replace(manifest, builder=replace(manifest.builder, version="1.4.0")), engine)
        assert refuse_run().startswith(f"{engine}: expected TensorRT-RTX 1.4.0, which built it, this machine has 1.")

    def test_of_another_gpu(self, refuse_run, engine: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("attnexport.engines.opening.gpus_of_this_machine", lambda: (90,))
        assert refuse_run() == f"{engine}: expected a GPU of SM 89, for which it was built, given SM 90"

    def test_without_its_plugin_library(self, refuse_run, engine: Path):
        from attnexport.engines.manifest import PluginRecord

        record = PluginRecord("libattnexport_plugins.so", 64 * "a", "0.1.0", "v3", (89,), 89, embedded=False)
        write_manifest(replace(read_manifest(engine), plugin=record), engine)
        expected = (
            "expected its plugin library, libattnexport_plugins.so, SHA-256 aaaaaaaaaaaa…: give it with --plugins LIB"
        )
        assert refuse_run() == f"{engine}: {expected}"
        other = engine.parent / "other.so"
        other.write_bytes(b"")
        assert refuse_run("--plugins", other).startswith(
            f"{other}: expected the library that small.engine was built with"
        )
