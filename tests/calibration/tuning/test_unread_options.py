"""Options that nothing would read are refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnexport
from tests.calibration.tuning.chain import save_chain, save_data


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ranges", "r.json", "--method", "mse"), "--method: expected --calibration to run, given --ranges"),
        (("--ranges", "r.json", "--method", "minmax"), "--method: expected --calibration to run, given --ranges"),
        (
            ("--candidates", "int8-weights,half", "--method", "mse"),
            "--method: expected candidates that need data to run, given int8-weights, fp16",
        ),
        (("--cache", "kept", "--no-cache"), "--cache: expected in place of --no-cache, given both"),
    ],
)
def test_what_nothing_would_read_is_refused(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
):
    monkeypatch.chdir(tmp_path)
    model = save_chain(Path("chain.onnx"))
    save_data(Path("data.npz"), model)
    attnexport.calibrate(model, "data.npz").save("r.json")
    before = sorted(tmp_path.iterdir())
    result = run("tune", model, "-o", "t.onnx", "--data", "data.npz", "--max-error", 1, *options)
    assert (result.code, result.err) == (2, f"attnexport: {said}\n")
    assert sorted(tmp_path.iterdir()) == before
