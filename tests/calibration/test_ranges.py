"""Ranges are those of the method that was asked for, of the model and data that they name, and can be merged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import attnexport
from attnexport.calibration.ranges import merged, merged_with, read_ranges
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from tests.calibration.graphs import WIDTH, heavy_tailed, save_layers, weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_layers(tmp_path / "layers.onnx")


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_minmax_is_the_extremes_of_all_rows_however_they_are_cut(file: Path, tmp_path: Path):
    x = heavy_tailed(61)
    ranges = attnexport.calibrate(file, saved(tmp_path / "x.npz", x=x))
    bent = np.tanh(x @ weights()[0])
    assert (ranges.tensors["x"].lowest, ranges.tensors["x"].highest) == (x.min(), x.max())
    assert ranges.tensors["bent"].highest == pytest.approx(bent.max(), rel=1e-6)
    assert (ranges.method, ranges.samples) == ("minmax", 61)
    assert ranges.data_sha256 == (sha256(tmp_path / "x.npz"),)
    assert ranges.model_sha256 == sha256(file)


def test_methods_are_those_that_were_asked_for(file: Path, tmp_path: Path):
    x = heavy_tailed(5000)
    data = saved(tmp_path / "x.npz", x=x)
    found = {name: attnexport.calibrate(file, data, method=name) for name in ("minmax", "percentile", "entropy", "mse")}
    magnitudes = {name: ranges.tensors["x"].magnitude for name, ranges in found.items()}
    assert magnitudes["minmax"] == np.abs(x).max()
    assert len(set(magnitudes.values())) == 4
    # Those that are read off histograms leave the largest values out.
    assert all(magnitudes[name] < 0.9 * magnitudes["minmax"] for name in ("percentile", "entropy", "mse"))
    assert magnitudes["percentile"] == pytest.approx(np.quantile(np.abs(x), 0.99999), rel=0.05)
    assert {ranges.tensors["x"].seen_highest for ranges in found.values()} == {x.max()}


def test_the_least_squared_error_is_the_least(file: Path, tmp_path: Path):
    x = heavy_tailed(500)
    chosen = attnexport.calibrate(file, saved(tmp_path / "x.npz", x=x), method="mse").tensors["x"].magnitude

    def error(magnitude: float) -> float:
        scale = magnitude / 127
        return float(np.square(np.clip(np.rint(x / scale), -127, 127) * scale - x).mean())

    assert error(chosen) < 1.02 * min(error(chosen * factor) for factor in (0.7, 0.85, 1.15, 1.3))


def test_a_static_batch_is_never_cut(tmp_path: Path):
    static = save_layers(tmp_path / "static.onnx", batch=8)
    x = heavy_tailed(8)
    found = attnexport.calibrate(static, saved(tmp_path / "x.npz", x=x), samples=5)
    assert found.samples == 8
    assert found.tensors["x"].seen_highest == x.max()


def test_ranges_are_read_as_they_were_written(file: Path, tmp_path: Path):
    ranges = attnexport.calibrate(file, saved(tmp_path / "x.npz", x=heavy_tailed(20)), samples=10)
    ranges.save(tmp_path / "ranges.json")
    assert read_ranges(tmp_path / "ranges.json") == ranges
    assert ranges.samples == 10
    made = attnexport.quantize(file, tmp_path / "q.onnx", to="int8", ranges=tmp_path / "ranges.json")
    assert made.ranges == ranges


def test_parts_from_several_machines_are_the_whole(file: Path, tmp_path: Path):
    x = heavy_tailed(40)
    whole = attnexport.calibrate(file, saved(tmp_path / "whole.npz", x=x))
    halves = [attnexport.calibrate(file, saved(tmp_path / f"{n}.npz", x=x[n::2])) for n in range(2)]
    assert merged(halves).tensors == whole.tensors
    assert merged(halves).samples == 40
    with pytest.raises(InputError, match="is in two of them"):
        merged([halves[0], halves[0]])
    with pytest.raises(InputError, match="expected those of one method, given minmax and mse"):
        merged([halves[0], replace(halves[1], method="mse")])
    with pytest.raises(InputError, match="expected those of one model"):
        merged([halves[0], replace(halves[1], model_sha256="0")])


def test_a_folder_that_holds_data_twice_is_one_part(run, file: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        saved(tmp_path / "data" / f"{name}.npz", x=heavy_tailed(10))
    found = attnexport.calibrate(file, tmp_path / "data")
    found.save(tmp_path / "one.json")
    result = run("calibrate", file, "--merge", tmp_path / "one.json", "-o", tmp_path / "r.json")
    assert (result.code, result.err) == (0, "")
    assert read_ranges(tmp_path / "r.json") == found
    assert found.samples == 20


def test_of_no_parts_nothing_is_merged(file: Path):
    with pytest.raises(InputError, match="ranges: expected at least one file of them, given none"):
        merged_with(file, [])


def test_ranges_of_another_model_are_refused(file: Path, tmp_path: Path):
    ranges = attnexport.calibrate(file, saved(tmp_path / "x.npz", x=heavy_tailed(20)))
    other = save_layers(tmp_path / "other.onnx", opset=20)
    with pytest.raises(InputError, match=f"expected SHA-256 {ranges.model_sha256}, whose ranges these are"):
        attnexport.quantize(other, tmp_path / "q.onnx", to="int8", ranges=ranges)


def test_ranges_that_lack_a_tensor_are_refused(file: Path, tmp_path: Path):
    ranges = attnexport.calibrate(file, saved(tmp_path / "x.npz", x=heavy_tailed(20)))
    ranges = replace(ranges, tensors={"x": ranges.tensors["x"]})
    with pytest.raises(InputError, match="layer two: expected a range for tensor bent, given none"):
        attnexport.quantize(file, tmp_path / "q.onnx", to="int8", ranges=ranges)
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    "content", ['{"schema": "attnexport.ranges/2"}', "[]", "{", '{"schema": "attnexport.ranges/1"}']
)
def test_other_files_are_no_ranges(tmp_path: Path, content: str):
    (tmp_path / "ranges.json").write_text(content)
    with pytest.raises(InputError, match=r"ranges\.json: expected ranges of attnexport calibrate"):
        read_ranges(tmp_path / "ranges.json")


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.full((3, WIDTH), np.nan, np.float32), "tensor x: expected finite values, given"),
        (np.zeros((0, WIDTH), np.float32), "expected at least one sample"),
        (np.zeros((3, WIDTH + 1), np.float32), r"expected x \(batch, 40\) float32, given \(3, 41\)"),
        (np.zeros((3, WIDTH), bool), r"expected x \(batch, 40\) float32, given \(3, 40\) bool"),
    ],
)
def test_data_that_says_nothing_is_refused(file: Path, tmp_path: Path, x: np.ndarray, said: str):
    with pytest.raises(InputError, match=said):
        attnexport.calibrate(file, saved(tmp_path / "x.npz", x=x))


def test_constant_data_and_one_sample_give_a_file_that_runs(file: Path, tmp_path: Path):
    for name, x in (("constant", np.zeros((4, WIDTH), np.float32)), ("one", heavy_tailed(1))):
        data = saved(tmp_path / f"{name}.npz", x=x)
        made = attnexport.quantize(file, tmp_path / f"{name}.onnx", to="int8", data=data)
        assert made.ranges is not None


def test_commands_write_ranges_and_files(run, file: Path, tmp_path: Path):
    data = saved(tmp_path / "x.npz", x=heavy_tailed(20))
    result = run("calibrate", file, "--data", data, "-o", tmp_path / "r.json", "--method", "mse")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == f"WROTE {tmp_path / 'r.json'}: 2 ranges by mse of 20 samples"
    assert json.loads((tmp_path / "r.json").read_text())["method"] == "mse"
    options = ("--to", "int8", "--ranges", tmp_path / "r.json", "--keep", "two")
    result = run("quantize", file, "-o", tmp_path / "q.onnx", *options)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == f"WROTE {tmp_path / 'q.onnx'}: int8, 1 layer with 93 % of the weights"
    result = run("quantize", file, "-o", tmp_path / "p.onnx", "--to", "int8", "--keep", "=fp16", "--data", data)
    assert result.code == 2
    assert result.err == "attnexport: --keep =fp16: expected PATTERN or PATTERN=TYPE, as blocks.0.*=fp16\n"
