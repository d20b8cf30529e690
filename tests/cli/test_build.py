"""``attnexport build``: what it says, writes and refuses; every sample is built in tests/rtx."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import onnx
import pytest

from tests.cli.commands import Refuse, Run
from tests.cli.models import WIDTH

SHAPES = f"x=1x2x{WIDTH}:2x9x{WIDTH}:4x32x{WIDTH}"

rtx = pytest.mark.needs("tensorrt-rtx")


@rtx
def test_a_build_writes_the_engine_and_its_manifest(run: Run, converted: Path, tmp_path: Path):
    engine = tmp_path / "small.engine"
    result = run("build", converted, "-o", engine, "--target", "rtx-40", "--shapes", SHAPES, "--precision", "fp16")
    assert (result.code, result.err) == (0, "")
    assert f"wrote{engine}," in "".join(result.out.split()), "a long path goes over several lines"
    for text in (
        "built by TensorRT-RTX 1.",
        "target rtx-40, SM 89",
        f"shapes x 1x2x{WIDTH} : 2x9x{WIDTH} : 4x32x{WIDTH}",
        "bodies 2 attention nodes run through standard operators",
        "note: because of target rtx-40: built ahead of time by TensorRT-RTX",
        "note: TensorRT-RTX takes precision from the file: ",
        "LayerNormalization x 2: a norm's variance leaves the range of fp16 where values pass 255",
        "note: without a plugin library 2 attention nodes run through their bodies",
    ):
        assert text in result.text
    last = result.out.splitlines()[-1]
    assert last.startswith(f"WROTE {engine}: ")
    assert " for rtx-40, fp16, in " in last
    manifest = json.loads((tmp_path / "small.engine.json").read_text())
    assert manifest["target"] == "rtx-40"
    assert manifest["seconds"] > 0
    assert 2**26 < manifest["peak_bytes"] < 2**32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.engine", "small.engine.json"]


@rtx
def test_ranges_of_the_model_are_the_default_shapes(run: Run, tmp_path: Path):
    model, engine = tmp_path / "tiny.onnx", tmp_path / "tiny.engine"
    options = ("--inputs", f"x=2x9x{WIDTH}", "--dynamic", "x:0=batch[1..4],1=tokens[2..32]")
    assert run("convert", "--model", "tests.cli.models:tiny", *options, "-o", model).code == 0
    result = run("build", model, "-o", engine, "--target", "rtx-40")
    assert (result.code, result.err) == (0, "")
    assert f"shapes x 1x2x{WIDTH} : 4x32x{WIDTH} : 4x32x{WIDTH}" in result.text


@rtx
def test_a_timing_cache_is_not_for_rtx(run: Run, converted: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    options = ("--target", "rtx-40", "--shapes", SHAPES, "--timing-cache", cache)
    result = run("build", converted, "-o", tmp_path / "small.engine", *options)
    assert (result.code, result.err) == (0, "")
    assert "note: because of target rtx-40: --timing-cache has no effect" in result.text
    assert not cache.exists()


@rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_beside_the_file(precision: str, run: Run, converted: Path, tmp_path: Path):
    model = tmp_path / "apart.onnx"
    onnx.save(onnx.load(converted), model, save_as_external_data=True, location="weights", size_threshold=0)
    options = ("--target", "rtx-40", "--shapes", SHAPES, "--precision", precision)
    result = run("build", model, "-o", tmp_path / "model.engine", *options)
    assert (result.code, result.err) == (0, "")
    assert (tmp_path / "model.engine").stat().st_size > 10_000


@rtx
def test_weights_elsewhere_are_refused(refuse: Refuse, converted: Path, tmp_path: Path):
    inner = tmp_path / "inner"
    inner.mkdir()
    model = onnx.load(converted)
    onnx.save(model, inner / "apart.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (inner / "weights").rename(tmp_path / "weights")
    named = onnx.load(inner / "apart.onnx", load_external_data=False)
    for tensor in named.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../weights" if entry.key == "location" else entry.value
    (inner / "apart.onnx").write_bytes(named.SerializeToString())
    line = refuse("build", inner / "apart.onnx", "-o", inner / "e.engine", "--target", "rtx-40", "--shapes", SHAPES)
    assert line.endswith("expected its weights beside it, in ../weights, and found none there")


@rtx
def test_weights_that_are_cut_off(refuse: Refuse, converted: Path, tmp_path: Path):
    model = tmp_path / "apart.onnx"
    onnx.save(onnx.load(converted), model, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").write_bytes(b"few")
    line = refuse("build", model, "-o", tmp_path / "e.engine", "--target", "rtx-40", "--shapes", SHAPES)
    assert line.startswith(f"attnexport: {tmp_path / 'weights'}: expected ")
    assert line.endswith(f" bytes or more for {model}, given 3")


@rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("part", ["attribute window", "input sigma"])
def test_attention_nodes_that_lack_a_part(part: str, precision: str, refuse: Refuse, converted: Path, tmp_path: Path):
    model = onnx.load(converted)
    (node,) = (node for node in model.graph.node if node.op_type == "KrauseAttention")
    if part.startswith("attribute"):
        node.attribute.remove(next(given for given in node.attribute if given.name == "window"))
    else:
        del node.input[3:]
    onnx.save(model, tmp_path / "edited.onnx")
    options = ("--target", "rtx-40", "--shapes", SHAPES, "--precision", precision)
    line = refuse("build", tmp_path / "edited.onnx", "-o", tmp_path / "e.engine", *options)
    assert line.endswith(f" (KrauseAttention): expected the {part}, given none")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target", "tpu"), "--target: expected one of jetson-xavier-jp5, "),
        (
            ("--target", "rtx-40", "--backend", "native"),
            "--backend: expected tensorrt_rtx for target rtx-40, given native",
        ),
        (
            ("--target", "h100", "--backend", "tensorrt_rtx"),
            "--backend: expected tensorrt or native for target h100, given tensorrt_rtx",
        ),
        (("--target", "rtx-40", "--embed-plugins"), "--embed-plugins: expected a library in --plugins, given none"),
        (("--target", "rtx-40", "--shapes", "x"), "--shapes x: expected NAME=MIN:OPT:MAX such as "),
        (("--target", "rtx-40", "--shapes", "x=1x0"), "--shapes x=1x0: expected sizes of 1 or more"),
        (("--target", "rtx-40", "--shapes", "x=2:1:3"), "--shapes x=2:1:3: expected three shapes of one rank"),
    ],
)
def test_options_that_do_not_fit(options: tuple[str, ...], said: str, refuse: Refuse, converted: Path, tmp_path: Path):
    line = refuse("build", converted, "-o", tmp_path / "small.engine", *options)
    assert line.startswith(f"attnexport: {said}")


@pytest.mark.parametrize(
    ("output", "cache", "said"),
    [
        (
            "small",
            "cache",
            "small: expected a name that ends in .engine, .plan or .trt, by which run knows it",
        ),
        ("e.engine", "e.engine", "e.engine: expected another name for each output, given one twice"),
        ("e.engine", "e.engine.json", "e.engine.json: expected another name for each output, given one twice"),
        ("e.engine", "model.onnx", "model.onnx: expected another name for the output, given the input model.onnx"),
    ],
)
def test_names_of_outputs(
    output: str,
    cache: str,
    said: str,
    refuse: Refuse,
    converted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(converted, "model.onnx")
    options = ("--target", "rtx-40", "--shapes", SHAPES, "--timing-cache", cache)
    assert refuse("build", "model.onnx", "-o", output, *options) == f"attnexport: {said}"


def test_a_target_whose_tensorrt_is_not_here(refuse: Refuse, converted: Path, tmp_path: Path):
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is here")
    line = refuse("build", converted, "-o", tmp_path / "small.engine", "--target", "h100", "--backend", "tensorrt")
    expected = "TensorRT: the Python package tensorrt is not installed; pip install tensorrt brings it"
    assert line == f"attnexport: {expected}"


@rtx
def test_files_that_cannot_be_used(refuse: Refuse, converted: Path, tmp_path: Path):
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"noise")
    rest = ("--target", "rtx-40", "--shapes", SHAPES)
    assert "expected an ONNX model" in refuse("build", noise, "-o", tmp_path / "small.engine", *rest)
    assert "no such file" in refuse("build", tmp_path / "none.onnx", "-o", tmp_path / "small.engine", *rest)
    assert "expected an existing folder" in refuse("build", converted, "-o", tmp_path / "none" / "e.engine", *rest)
    assert "expected a name for an engine" in refuse("build", noise, "-o", noise, *rest)
