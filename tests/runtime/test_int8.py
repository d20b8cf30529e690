"""int8 files for TensorRT 8.x: what Q/DQ nodes leave may run in float16, and weights are given as it takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

import attnexport
from attnexport.backends.building import BuiltEngine
from attnexport.backends.native import NativeBuilder
from attnexport.engines.build_options import BuildOptions
from attnexport.engines.building import build_engine
from attnexport.plugins.runtime.request import EngineOptions
from attnexport.plugins.runtime.runtime import RUNTIME_VARIABLE

TARGET = "jetson-orin-jp6.0"
HALF = '{"Layers": [{"Name": "a", "LayerType": "Gemm", "Outputs": [{"Format/Datatype": "Row major linear FP16"}]}]}'


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """Two layers in int8."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    attnexport.convert(module, (torch.ones(2, 8),), tmp_path / "model.onnx", target=TARGET)
    rows = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    (name,) = [value.name for value in ir.load(tmp_path / "model.onnx").graph.inputs]
    np.savez(tmp_path / "data.npz", **{str(name): rows})
    attnexport.quantize(tmp_path / "model.onnx", tmp_path / "int8.onnx", to="int8", data=tmp_path / "data.npz")
    return tmp_path / "int8.onnx"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_int8_file_is_built_with_float_weights_and_the_precision_asked_for(
    precision: str, quantized: Path, fake_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(RUNTIME_VARIABLE, str(fake_runtime))
    (tmp_path / "layers.json").write_text(HALF.replace("FP16", precision.upper()))
    monkeypatch.setenv("FAKE_ATTNRT_LAYERS", str(tmp_path / "layers.json"))
    build, seen = NativeBuilder.build, []

    def watched(self: NativeBuilder, model: Path, options: EngineOptions) -> BuiltEngine:
        tensors = [value.const_value for value in ir.load(model).graph.initializers.values()]
        seen.append(([tensor.size for tensor in tensors if tensor.dtype == ir.DataType.INT8], options.precision))
        return build(self, model, options)

    monkeypatch.setattr(NativeBuilder, "build", watched)
    options = BuildOptions(TARGET, EngineOptions(precision=precision), backend="native")
    manifest = build_engine(quantized, tmp_path / "m.engine", options)
    assert manifest.precision == manifest.model.precision == "int8"
    ((sizes, asked),) = seen
    # Only zero points are left in int8: one number for an activation, one an output for a weight.
    assert max(sizes) <= 16 < 8 * 16
    assert asked == precision
    said = "TensorRT 8.6.0 takes no weights in int8: it was given 2 weights in float32, to round to the same numbers"
    assert said in manifest.notes
