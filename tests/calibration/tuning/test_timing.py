"""Files are timed as engines of this machine's device, or it is said why not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import attnexport
from attnexport.calibration.tuning import bench, timing
from attnexport.engines.manifest_json import read_manifest
from tests.calibration.tuning.chain import WIDTH, save_chain, save_data


def tuned(folder: Path, **options: Any) -> attnexport.Tuning:
    model = save_chain(folder / "chain.onnx", opset=20)
    data = save_data(folder / "data.npz", model, rows=70)
    given = {"data": data, "max_error": 2.0, "candidates": ["int8"], "target": "rtx-40"}
    return attnexport.tune(model, folder / "tuned.onnx", **{**given, **options})


def test_without_a_gpu_no_engine_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (bench, timing):
        monkeypatch.setattr(module, "gpus_of_this_machine", lambda: ())
    found = tuned(tmp_path)
    assert found.timing == "not timed: no engine can run here"
    assert found.passed


def test_a_device_that_is_not_named_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "gpus_of_this_machine", lambda: (89,))
    assert tuned(tmp_path, target=None).timing.startswith("not timed: target names this machine's device")


def test_a_file_of_which_no_engine_can_be_made_is_rejected_with_its_reason(tmp_path: Path):
    def timer(path: Path) -> float:
        if b"QuantizeLinear" in path.read_bytes():
            raise attnexport.BackendError("no kernel for int8")
        return 1.5 if b"Cast" in path.read_bytes() else 2.0

    found = tuned(tmp_path, target=None, timer=timer, candidates=["int8", "fp16"])
    assert "int8 rejected: no kernel for int8" in found.notes
    assert found.chosen.title == "all fp16"


def test_a_file_that_others_are_held_to_may_have_no_engine_which_is_said_once(tmp_path: Path):
    timed = []

    def timer(path: Path) -> float:
        content = path.read_bytes()
        timed.append(content)
        if b"Cast" in content:
            raise attnexport.BackendError("no kernel for half")
        return 1.0 if b"DequantizeLinear" in content else 2.0

    found = tuned(tmp_path, target=None, timer=timer, candidates=["int8", "int8-weights"], max_error=0.05)
    assert found.passed
    assert found.candidates == ("int8", "int8-weights")
    said = [note for note in found.notes if "half" in note]
    assert said == ["no file was held to the time of all fp16: no kernel for half"]
    assert len(timed) == len(set(timed))


@pytest.mark.needs("tensorrt-rtx")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_engines_are_built_for_one_row_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All but the running is real: it stands in for a GPU, which no machine of the tests has."""
    timed = []

    def run(engine: Path, data: Path, **_: Any) -> Any:
        manifest = read_manifest(engine)
        timed.append((manifest.precision, manifest.profiles["x"].optimum))
        median = {"int8": 1.0, "fp32": 2.0}.get(manifest.precision, 1.5)
        return SimpleNamespace(report=SimpleNamespace(timing=SimpleNamespace(median=median)))

    monkeypatch.setattr(bench, "gpus_of_this_machine", lambda: (89,))
    monkeypatch.setattr(timing, "run", run)
    found = tuned(tmp_path)
    assert found.chosen.milliseconds == 1.0
    assert found.cost == "time"
    assert {shape for _, shape in timed} == {(1, WIDTH)}
    assert timed[0][0] == "fp32"
    assert "int8" in {precision for precision, _ in timed}
