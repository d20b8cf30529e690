"""Half written into a quantized file: Q/DQ round as before, and what is around them, attention above all, is half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.file_precision import precision_name, precision_of
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.precision import write_precision
from tests.calibration.graphs import heavy_tailed, save_layers

HALF = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
SCHEMES = ("int8", "fp8", "int8-weights", "int4-weights")
ROWS = 96


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=heavy_tailed(50).clip(-4, 4))
    return tmp_path / "data.npz"


def quantized(path: Path, to: str, data: Path, **options: object) -> Path:
    """The file, quantized with these data."""
    output = path.with_name(f"{path.stem}.{to}.onnx")
    given = {} if to.endswith("-weights") else {"data": data, "samples": 32}
    return attnexport.quantize(path, output, to=to, **given, **options).path


def in_half(path: Path, precision: str = "fp16") -> Path:
    """The file with half written into it, which ONNX takes."""
    model, output = ir.load(path), path.with_name(f"{path.stem}.{precision}.onnx")
    write_precision(model, precision)
    ir.save(model, output)
    onnx.checker.check_model(str(output), full_check=True)
    return output


def pairs(path: Path) -> list[tuple[str, str, ir.DataType, ir.DataType]]:
    """Operator, name, type of the scale and quantized type of every Q/DQ node."""
    nodes = (node for node in ir.load(path).graph if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
    return [(node.op_type, node.name, node.inputs[1].dtype, node.inputs[2].dtype) for node in nodes]


def types_of(path: Path, *operators: str) -> set[ir.DataType]:
    """Types of all that these operators read."""
    nodes = (node for node in ir.load(path).graph if node.op_type in operators)
    return {value.dtype for node in nodes for value in node.inputs}


def y(path: Path, rows: int = 20) -> NDArray[np.float64]:
    return OnnxRuntimeBackend(path).run({"x": heavy_tailed(rows, seed=1).clip(-4, 4)})["y"].astype(np.float64)


def errs_like_both(plain: Path, wide: Path, half: Path, precision: str = "fp16") -> bool:
    """Whether a quantized file in half errs by no more than twice what quantizing and half do, each alone."""
    alone = [np.abs(y(path) - y(plain)).max() for path in (wide, in_half(plain, precision))]
    return bool(np.abs(y(half) - y(plain)).max() < 2 * sum(alone))


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("to", SCHEMES)
def test_everything_but_the_integers_is_half(tmp_path: Path, data: Path, to: str, precision: str):
    plain = save_layers(tmp_path / "layers.onnx")
    wide = quantized(plain, to, data)
    half = in_half(wide, precision)
    assert [(op_type, name, quantized) for op_type, name, _, quantized in pairs(half)] == [
        (op_type, name, quantized) for op_type, name, _, quantized in pairs(wide)
    ]
    assert {scale for _, _, scale, _ in pairs(half)} == {HALF[precision]}
    assert types_of(half, "MatMul", "Gemm", "Tanh") == {HALF[precision]}
    before, after = (ir.load(path).graph.initializers for path in (wide, half))
    for name in (name for name in before if name.endswith("_quantized")):
        assert after[name].const_value.tobytes() == before[name].const_value.tobytes()
    assert (precision_of(ir.load(half)), precision_name(ir.load(half))) == (precision, to)
    assert errs_like_both(plain, wide, half, precision)


@pytest.mark.parametrize("opset", [17, 18])
def test_before_half_scales_there_were_products_of_rounded_operands_stay_in_float32(
    tmp_path: Path, data: Path, opset: int
):
    plain = save_layers(tmp_path / "layers.onnx", opset=opset)
    wide = quantized(plain, "int8", data)
    half = in_half(wide)
    assert {scale for _, _, scale, _ in pairs(half)} == {ir.DataType.FLOAT}
    assert types_of(half, "MatMul", "Gemm") == {ir.DataType.FLOAT}
    assert types_of(half, "Tanh") == {ir.DataType.FLOAT16}
    products = [node for node in ir.load(half).graph if node.op_type in ("MatMul", "Gemm")]
    assert {value.producer().op_type for node in products for value in node.inputs[:2]} == {"DequantizeLinear"}
    assert errs_like_both(plain, wide, half)


def test_weights_alone_are_multiplied_in_half_before_half_scales_too(tmp_path: Path, data: Path):
    half = in_half(quantized(save_layers(tmp_path / "layers.onnx", opset=17), "int8-weights", data))
    assert types_of(half, "MatMul", "Gemm", "Tanh") == {ir.DataType.FLOAT16}


def test_a_scale_that_half_does_not_hold_stays_in_float32(tmp_path: Path, data: Path):
    wide = quantized(save_layers(tmp_path / "layers.onnx"), "int8", data)
    model = onnx.load(wide)
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "first_scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(1e-4) * onnx.numpy_helper.to_array(scale), scale.name))
    onnx.save(model, wide)
    half = in_half(wide)
    held = {name: scale for _, name, scale, _ in pairs(half)}
    assert held["first_DequantizeLinear"] == ir.DataType.FLOAT
    assert held["second_DequantizeLinear"] == ir.DataType.FLOAT16
    assert types_of(half, "MatMul") == {ir.DataType.FLOAT}
    assert np.abs(y(half) - y(wide)).max() < 0.01


def test_layers_that_were_kept_in_half_are_not_taken_for_the_file(tmp_path: Path, data: Path):
    wide = quantized(save_layers(tmp_path / "layers.onnx"), "int8", data, keep={"two": "fp16"})
    assert precision_of(ir.load(wide)) == "fp32"
    half = in_half(wide)
    assert types_of(half, "MatMul", "Gemm", "Tanh") == {ir.DataType.FLOAT16}
    assert np.abs(y(half) - y(wide)).max() < 0.05


@pytest.mark.parametrize("to", SCHEMES)
def test_attention_is_half_inside_a_quantized_file(to: str, tmp_path: Path, converted_to_21: Path):
    rows = np.load("samples/digits/test.npz")["image"][:ROWS]
    np.savez(tmp_path / "images.npz", image=rows[:32])
    plain = tmp_path / "krause.onnx"
    plain.write_bytes(converted_to_21.read_bytes())
    wide = quantized(plain, to, tmp_path / "images.npz")
    half = in_half(wide)
    nodes = variant_nodes(ir.load(half).graph)
    assert len(nodes) == 4
    assert {value.dtype for node, _ in nodes for value in (*node.inputs, *node.outputs)} == {ir.DataType.FLOAT16}
    assert types_of(half, "MatMul") == {ir.DataType.FLOAT16}
    assert {scale for _, _, scale, _ in pairs(half)} == {ir.DataType.FLOAT16}
    exact, rounded, both = (OnnxRuntimeBackend(path).run({"image": rows})["output"] for path in (plain, wide, half))
    error = np.abs(rounded - exact).max()
    assert np.abs(both - rounded).max() > 0
    assert np.abs(both - exact).max() < 2 * error
    assert (both.argmax(-1) == rounded.argmax(-1)).mean() > 0.98


@pytest.fixture(scope="module")
def converted_to_21(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample in an opset that has every scheme."""
    loaded = attnexport.load_model("samples/digits/krause.pt2")
    path = tmp_path_factory.mktemp("opset21") / "krause.onnx"
    attnexport.convert(loaded.program, None, path, dim_names=loaded.dim_names, opset=21)
    return path
