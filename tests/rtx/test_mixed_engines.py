"""A file whose layers are in several schemes becomes an engine of TensorRT-RTX that has each of them, without a GPU."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

import attnexport
from attnexport.calibration.applying import apply
from attnexport.calibration.layers import all_layers
from attnexport.calibration.plans import Plan
from attnexport.calibration.schemes import SCHEMES
from attnexport.graph.writing import write_model
from tests.calibration.tuning.chain import LAYERS, save_chain, save_data

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_mixed_file_builds_with_every_type_in_it(tmp_path: Path):
    path = save_chain(tmp_path / "chain.onnx", opset=20)
    ranges = attnexport.calibrate(path, save_data(tmp_path / "data.npz", path, rows=40))
    model = ir.load(path)
    schemes = dict(zip(LAYERS, map(SCHEMES.get, ("int8", "fp8", "int8-weights")), strict=False))
    plan = Plan({name: scheme for name, scheme in schemes.items() if scheme}, {"head": ir.DataType.FLOAT16})
    apply(path, model, all_layers(path, model), plan, ranges)
    write_model(model, tmp_path / "mixed.onnx")
    manifest = attnexport.build(tmp_path / "mixed.onnx", tmp_path / "m.engine", target="rtx-40", shapes=["x=1x48"])
    assert {"int8", "fp8", "fp16"} <= set(manifest.precisions)
