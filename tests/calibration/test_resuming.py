"""A calibration that was stopped goes on where it was, and ends as one that was not; its output is whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import attnexport
from attnexport.calibration.collectors import BINS, MOST_BINS, Histograms
from attnexport.calibration.options import METHODS
from attnexport.calibration.ranges import Ranges, read_ranges
from attnexport.errors import InputError
from tests.calibration.graphs import heavy_tailed, save_layers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_layers(tmp_path / "layers.onnx")


def saved(path: Path, x: np.ndarray, **more: np.ndarray) -> Path:
    np.savez(path, x=x, **more)
    return path


class StopAt:
    """A progress that Ctrl-C interrupts at a share, and that counts what it was told of."""

    def __init__(self, share: float = 2.0) -> None:
        self.share, self.told = share, 0

    def __call__(self, step: str, done: float | None) -> None:
        self.told += step == "calibrating"
        if done is not None and done >= self.share:
            raise KeyboardInterrupt


def stopped(file: Path, data: Path, state: Path, share: float = 0.5, method: str = "minmax") -> None:
    with pytest.raises(KeyboardInterrupt):
        attnexport.calibrate(file, data, method=method, unfinished=state, progress=StopAt(share))


@pytest.mark.parametrize("method", METHODS)
def test_what_was_stopped_ends_as_what_was_not(file: Path, tmp_path: Path, method: str):
    data, state = saved(tmp_path / "x.npz", heavy_tailed(100)), tmp_path / "state"
    stopped(file, data, state, method=method)
    assert state.is_file()
    follow = StopAt()
    found = attnexport.calibrate(file, data, method=method, unfinished=state, progress=follow)
    assert found == attnexport.calibrate(file, data, method=method)
    assert found.notes == ("went on behind 64 samples of a calibration that was stopped",)
    assert follow.told == 3
    assert not state.exists()


def test_a_folder_goes_on_behind_a_sample_that_failed_and_was_mended(file: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    parts = [heavy_tailed(10, seed=seed) for seed in range(4)]
    for position, part in enumerate(parts):
        saved(tmp_path / "data" / f"{position}.npz", np.full_like(part, np.nan) if position == 2 else part)
    with pytest.raises(InputError, match="expected finite values"):
        attnexport.calibrate(file, tmp_path / "data", unfinished=tmp_path / "state")
    saved(tmp_path / "data" / "2.npz", parts[2])
    follow = StopAt()
    found = attnexport.calibrate(file, tmp_path / "data", unfinished=tmp_path / "state", progress=follow)
    assert follow.told == 2
    assert (found.samples, found.tensors["x"].seen_highest) == (40, max(part.max() for part in parts))


@pytest.mark.parametrize("other", ["model", "data", "method", "samples", "damage"])
def test_of_another_calibration_nothing_is_taken_up(file: Path, tmp_path: Path, other: str):
    data, state = saved(tmp_path / "x.npz", heavy_tailed(100)), tmp_path / "state"
    stopped(file, data, state)
    given: dict = {"method": "minmax", "samples": None}
    if other == "model":
        save_layers(file, opset=20)
    elif other == "data":
        saved(data, heavy_tailed(100, seed=1) / 100)
    elif other == "damage":
        state.write_bytes(state.read_bytes()[:-100])
    else:
        given |= {"method": "mse"} if other == "method" else {"samples": 90}
    found = attnexport.calibrate(file, data, unfinished=state, **given)
    assert found == attnexport.calibrate(file, data, **given)
    assert found.notes == ()


def test_rows_that_are_enough_are_counted_over_the_stop(file: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    for position in range(4):
        saved(tmp_path / "data" / f"{position}.npz", heavy_tailed(30, seed=position))
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        attnexport.calibrate(file, tmp_path / "data", samples=70, unfinished=state, progress=StopAt(0.3))
    found = attnexport.calibrate(file, tmp_path / "data", samples=70, unfinished=state)
    assert found == attnexport.calibrate(file, tmp_path / "data", samples=70)
    assert found.samples == 70


def test_the_command_goes_on_and_says_so(run, file: Path, tmp_path: Path):
    data, output = saved(tmp_path / "x.npz", heavy_tailed(100)), tmp_path / "r.json"
    stopped(file, data, tmp_path / "r.json.unfinished")
    result = run("calibrate", file, "--data", data, "-o", output)
    assert result.out == (
        "note: went on behind 64 samples of a calibration that was stopped\n"
        f"\nWROTE {output}: 2 ranges by minmax of 100 samples\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.onnx", "r.json", "x.npz"]


def test_what_the_data_has_beside_the_inputs_and_other_types_are_told(file: Path, tmp_path: Path):
    x = heavy_tailed(20)
    data = saved(tmp_path / "x.npz", x.astype(np.float64), labels=np.zeros(20), more=np.zeros(3))
    found = attnexport.calibrate(file, data)
    assert found.notes == (f"{data}: no input takes more", f"{data}: input x is read as float32, given float64")
    made = attnexport.quantize(file, tmp_path / "q.onnx", to="int8", data=data)
    assert made.notes == found.notes
    assert found.tensors["x"].seen_highest == x.max()


def test_parts_are_put_together_by_the_command(run, file: Path, tmp_path: Path):
    x = heavy_tailed(40)
    whole = attnexport.calibrate(file, saved(tmp_path / "whole.npz", x))
    for n in range(2):
        attnexport.calibrate(file, saved(tmp_path / f"{n}.npz", x[n::2])).save(tmp_path / f"{n}.json")
    output = tmp_path / "r.json"
    result = run("calibrate", file, "--merge", tmp_path / "0.json", "--merge", tmp_path / "1.json", "-o", output)
    assert (result.code, result.out) == (0, f"WROTE {output}: 2 ranges by minmax of 40 samples\n")
    result = run("calibrate", file, "--merge", tmp_path / "0.json", "--data", tmp_path / "1.npz", "-o", output)
    assert result.code == 0
    assert read_ranges(output).tensors == whole.tensors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--data: expected it, or files to --merge, given neither"),
        (("--merge", "none.json"), "--merge none.json: no such file"),
        (("--merge", "0.json", "--samples", "3"), "--samples: expected --data to run, given none"),
        (("--merge", "0.json", "--method", "mse"), "--method: expected --data to run, given none"),
        (("--merge", "0.json", "--merge", "0.json"), "ranges: data of SHA-256"),
        (("--merge", "0.json", "--data", "0.npz", "--method", "mse"), "expected those of one method, given minmax and"),
        (("--merge", "x.npz"), "expected ranges of attnexport calibrate"),
        (("--merge", "other.json"), "other.json: expected ranges of SHA-256"),
    ],
)
def test_what_cannot_be_put_together_is_refused(
    run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
):
    monkeypatch.chdir(tmp_path)
    attnexport.calibrate(file, saved(Path("0.npz"), heavy_tailed(20))).save("0.json")
    attnexport.calibrate(save_layers(Path("other.onnx"), opset=20), "0.npz").save("other.json")
    saved(Path("x.npz"), heavy_tailed(3))
    result = run("calibrate", file, *options, "-o", "r.json")
    assert result.code == 2
    assert said in result.err
    assert not Path("r.json").exists()


@pytest.mark.parametrize("part", ["method", "model", "data", "damage"])
def test_what_cannot_be_put_together_is_refused_before_the_run(run, file: Path, tmp_path: Path, part: str):
    """What a run that was stopped had collected is left as it was."""
    data, made = saved(tmp_path / "x.npz", heavy_tailed(100)), tmp_path / "part.json"
    other = save_layers(tmp_path / "other.onnx", opset=20) if part == "model" else file
    more = data if part == "data" else saved(tmp_path / "more.npz", heavy_tailed(10, seed=1))
    attnexport.calibrate(other, more, method="mse" if part == "method" else "minmax").save(made)
    if part == "damage":
        made.write_bytes(made.read_bytes()[:-10])
    stopped(file, data, tmp_path / "r.json.unfinished")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = run("calibrate", file, "--data", data, "--merge", made, "-o", tmp_path / "r.json")
    assert result.code == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_ranges_that_could_not_be_written_are_not_collected_again(
    run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, output = saved(tmp_path / "x.npz", heavy_tailed(100)), tmp_path / "r.json"

    def fail(ranges: Ranges, path: Path) -> None:
        raise InputError(f"{path}: no space left")

    with monkeypatch.context() as full:
        full.setattr(Ranges, "save", fail)
        assert run("calibrate", file, "--data", data, "-o", output).code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.onnx", "r.json.unfinished", "x.npz"]
    result = run("calibrate", file, "--data", data, "-o", output)
    assert "note: went on behind 100 samples" in result.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.onnx", "r.json", "x.npz"]
    assert read_ranges(output) == attnexport.calibrate(file, data)


def test_a_far_larger_value_makes_no_histogram_of_as_many_bins(tmp_path: Path):
    """From the first batch on ONNX Runtime keeps the width of its bins: 2048 of them can become billions."""
    random = np.random.default_rng(0)
    collector = Histograms("percentile")
    small, large = random.normal(size=(2000,)).astype(np.float32) * 1e-6, random.normal(size=2000).astype(np.float32)
    collector.add({"x": small})
    collector.add({"x": large})
    counts = collector.kept()["x"]["counts"]
    assert counts.sum() == 4000
    assert len(counts) <= 2 * BINS < MOST_BINS
    assert collector.ranges()["x"].magnitude == pytest.approx(np.abs(large).max(), rel=0.01)
    # Half of all values are far below a bin: they are in those about zero.
    middle = len(counts) // 2
    assert counts[middle - 1 : middle + 1].sum() >= 2000
