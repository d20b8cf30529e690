"""The JSON of a run: every field of its report, under its documented name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from attnexport.engines.run_json import as_json
from attnexport.engines.running import RunReport, Timing
from tests.files.documented_json import assert_documented, assert_holds, never_set

REPORT = RunReport(
    ran_by="TensorRT 10.3.0 on an Orin",
    attention="4 nodes through plugins",
    precision="fp16",
    inputs={"x": (2, 9, 16), "flag": ()},
    outputs={"y": (2, 10)},
    memory={"engine": 1 << 20},
    timing=Timing(20, 1.25, 1.5, 2.0, 640.0),
    notes=("a note",),
)
MODEL, DATA = Path("vit.engine"), Path("in.npz")


def test_every_field_of_a_run_is_in_json():
    written = as_json(REPORT, model=MODEL, data=DATA)
    assert not never_set(REPORT)
    assert_holds(written, REPORT, more={f"RunReport.{name}" for name in ("schema", "model", "data")})
    assert (written["model"], written["data"]) == ("vit.engine", "in.npz")


def test_every_key_is_documented():
    written = as_json(REPORT, model=MODEL, data=DATA)
    assert written["schema"] == "attnexport.run/1"
    assert_documented(written)


def test_runs_that_were_not_timed_have_null():
    assert as_json(dataclasses.replace(REPORT, timing=None), model=MODEL, data=DATA)["timing"] is None
