"""What cannot be calibrated or quantized ends in one line that names it, and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

import attnexport
from attnexport.errors import InputError
from attnexport.targets import TARGETS
from tests.calibration.graphs import HIDDEN, OUT, WIDTH, heavy_tailed, save_layers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_layers(tmp_path / "layers.onnx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "x.npz", x=heavy_tailed(20))
    return tmp_path / "x.npz"


def refused(run, folder: Path, *arguments: object) -> str:
    """The one line of a command that ends with 2 and writes nothing."""
    before = sorted(folder.iterdir())
    result = run(*arguments)
    assert result.code == 2, result.out + result.err
    assert len(result.err.splitlines()) == 1
    assert sorted(folder.iterdir()) == before
    return result.err.removeprefix("attnexport: ").rstrip("\n")


@pytest.mark.parametrize(
    ("to", "target", "said"),
    [
        ("fp8", "a100", "--target a100: expected fp32, bf16, fp16, int8, given fp8"),
        ("fp8", "jetson-orin-jp6.2", "--target jetson-orin-jp6.2: expected fp32, bf16, fp16, int8, given fp8"),
        ("int4-weights", "jetson-orin-jp6.0", "it parses up to opset 17, and int4-weights needs 21"),
        ("int8", "rtx-41", "expected one of jetson-xavier-jp5"),
    ],
)
def test_a_device_without_the_type(run, file: Path, data: Path, to: str, target: str, said: str):
    given = ("--data", data) if to in ("int8", "fp8") else ()
    line = refused(
        run, file.parent, "quantize", file, "-o", file.with_name("q.onnx"), "--to", to, "--target", target, *given
    )
    assert said in line


def test_a_device_with_the_type_is_no_matter(file: Path, data: Path):
    for target in ("l4", "rtx-50", "jetson-thor-jp7"):
        assert "fp8" in TARGETS[target].precisions
        attnexport.quantize(file, file.with_name("q.onnx"), to="fp8", data=data, target=target)


@pytest.mark.parametrize(("to", "opset", "least"), [("fp8", 18, 19), ("int4-weights", 20, 21)])
def test_an_opset_without_the_type(run, tmp_path: Path, data: Path, to: str, opset: int, least: int):
    file = save_layers(tmp_path / "old.onnx", opset=opset)
    given = ("--data", data) if to == "fp8" else ()
    line = refused(run, tmp_path, "quantize", file, "-o", tmp_path / "q.onnx", "--to", to, *given)
    assert line == f"{file}: {to} needs opset {least}, given {opset}: convert with --opset {least}"


def test_an_output_that_cannot_be_written(run, file: Path, data: Path):
    folder = file.parent
    for command in (("quantize", file, "--to", "int8"), ("calibrate", file)):
        absent = folder / "absent" / ("q.onnx" if command[0] == "quantize" else "r.json")
        line = refused(run, folder, *command, "--data", data, "-o", absent)
        assert line == f"{absent}: expected an existing folder to write into, given {absent.parent}"
        line = refused(run, folder, *command, "--data", data, "-o", folder)
        assert line == f"{folder}: expected a file to write, given a folder"
    line = refused(run, folder, "quantize", file, "--to", "int8", "--data", data, "-o", file)
    assert line == f"{file}: expected another name for the output, given the input {file}"


def test_arrays_of_another_name(run, file: Path, tmp_path: Path):
    np.savez(tmp_path / "y.npz", X=heavy_tailed(3))
    line = refused(run, tmp_path, "calibrate", file, "--data", tmp_path / "y.npz", "-o", tmp_path / "r.json")
    assert line.endswith("y.npz: expected an array for input x (batch, 40) float32, given X: is it X?")


@pytest.mark.parametrize("option", [("--method", "mse"), ("--method", "minmax"), ("--samples", 5)])
@pytest.mark.parametrize("instead", [("--to", "int8", "--ranges"), ("--to", "int8-weights")])
def test_options_of_a_run_where_none_is(run, file: Path, data: Path, option: tuple[object, ...], instead: tuple[str]):
    given = instead[-1] if instead[-1] == "--ranges" else " ".join(instead)
    if given == "--ranges":
        attnexport.calibrate(file, data).save(file.with_name("r.json"))
        instead = (*instead, file.with_name("r.json"))
    line = refused(run, file.parent, "quantize", file, "-o", file.with_name("q.onnx"), *instead, *option)
    assert line == f"{option[0]}: expected --data to run, given {given}"


def test_from_python_a_method_is_that_of_the_ranges(file: Path, data: Path):
    """The default is no choice: it cannot be told from no method at all."""
    ranges, output = attnexport.calibrate(file, data, method="mse"), file.with_name("q.onnx")
    with pytest.raises(InputError, match="method: expected mse, by which these ranges are, given entropy"):
        attnexport.quantize(file, output, to="int8", ranges=ranges, method="entropy")
    with pytest.raises(InputError, match=r"samples: expected data to run, given ranges"):
        attnexport.quantize(file, output, to="int8", ranges=ranges, samples=5)
    with pytest.raises(InputError, match="method: expected data to run, given to"):
        attnexport.quantize(file, output, to="int8-weights", method="mse")
    assert not output.exists()
    made = [attnexport.quantize(file, output, to="int8", ranges=ranges, **given) for given in ({}, {"method": "mse"})]
    assert made[0].sha256 == made[1].sha256


def test_a_folder_without_data(run, file: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    line = refused(run, tmp_path, "calibrate", file, "--data", tmp_path / "empty", "-o", tmp_path / "r.json")
    assert line == f"--data {tmp_path / 'empty'}: expected .npz files in the folder, found none"


def test_values_that_only_the_model_makes_infinite(run, tmp_path: Path):
    """The inputs are finite, and float32 overflows in the first product."""
    file = save_layers(tmp_path / "layers.onnx")
    np.savez(tmp_path / "x.npz", x=np.full((2, WIDTH), 3e38, np.float32))
    model = onnx.load(file)
    model.graph.node[1].op_type = "Identity"
    onnx.save(model, file)
    line = refused(run, tmp_path, "calibrate", file, "--data", tmp_path / "x.npz", "-o", tmp_path / "r.json")
    assert "x.npz, rows 0 to 1: tensor bent: expected finite values, given" in line


def test_one_scale_for_a_weight_is_that_of_its_largest_number(file: Path, data: Path):
    one = attnexport.quantize(file, file.with_name("one.onnx"), to="int8", data=data, per_channel=False)
    each = attnexport.quantize(file, file.with_name("each.onnx"), to="int8", data=data)
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(one.path).graph.initializer}
    floating = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    for name in ("first", "second"):
        assert held[f"{name}_scale"] == np.float32(np.abs(floating[name]).max() / 127)
        assert np.abs(held[f"{name}_quantized"].astype(int)).max() == 127
        error = held[f"{name}_quantized"] * held[f"{name}_scale"] - floating[name]
        assert np.abs(error).max() <= held[f"{name}_scale"] * 0.501
    onnx.checker.check_model(str(one.path), full_check=True)
    sizes = {
        tensor.name: tuple(tensor.dims)
        for tensor in onnx.load(each.path).graph.initializer
        if tensor.name.endswith("_scale")
    }
    assert (sizes["first_scale"], sizes["second_scale"], sizes["x_scale"]) == ((HIDDEN,), (OUT,), ())


@pytest.mark.parametrize(
    "options", [("--to", "int4-weights"), ("--to", "int8", "--data", "x.npz", "--backend", "modelopt")]
)
def test_one_scale_is_for_weights_of_8_bits(
    run, file: Path, data: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
):
    monkeypatch.chdir(file.parent)
    monkeypatch.setitem(sys.modules, "modelopt", sys)
    line = refused(run, file.parent, "quantize", file, "-o", "q.onnx", "--per-tensor", *options)
    assert line.startswith("--per-tensor: expected weights of 8 bits and our own rounding, given ")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_what_was_collected_and_no_output(tmp_path: Path, number: signal.Signals):
    file = save_layers(tmp_path / "layers.onnx")
    x = heavy_tailed(60_000)
    np.savez(tmp_path / "x.npz", x=x)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    script = (
        "import attnexport.calibration.unfinished as kept, sys; kept.SAVE_S = 0.2\n"
        "from attnexport.cli import main; main(sys.argv[1:], prog_name='attnexport')"
    )
    arguments = ["calibrate", str(file), "--data", str(tmp_path / "x.npz"), "-o", str(tmp_path / "r.json")]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments, "--method", "mse"], env=environment, stderr=subprocess.PIPE
    )
    state = tmp_path / "r.json.unfinished"
    ends = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.onnx", "r.json.unfinished", "x.npz"]
    found = attnexport.calibrate(file, tmp_path / "x.npz", method="mse", samples=None, unfinished=state)
    assert found.notes[0].startswith("went on behind ")
    assert (found.samples, found.tensors["x"].seen_highest) == (60_000, x.max())
    assert found == attnexport.calibrate(file, tmp_path / "x.npz", method="mse")
