"""Files that other tools quantized: what TensorRT refuses or would misread is said of the node and the tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import onnxruntime.quantization as ort
import pytest
from onnx import TensorProto

import attnexport
from attnexport.engines.preflight.quantizers import check_quantizers
from attnexport.errors import InputError
from tests.calibration.graphs import WIDTH, heavy_tailed, save_layers
from tests.engines.models import draft_for

SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


class Rows(ort.CalibrationDataReader):
    """A few rows, as onnxruntime.quantization asks for them."""

    def __init__(self) -> None:
        self._batches = iter([{"x": heavy_tailed(20)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def quantized(tmp_path: Path, *, activations: ort.QuantType = ort.QuantType.QInt8, **extra: bool) -> Path:
    """What onnxruntime.quantization writes, symmetric and without biases but for what is given."""
    file = save_layers(tmp_path / "layers.onnx", opset=20)
    ort.quantize_static(
        file,
        tmp_path / "q.onnx",
        Rows(),
        activation_type=activations,
        weight_type=ort.QuantType.QInt8,
        extra_options=SYMMETRIC | extra,
    )
    return tmp_path / "q.onnx"


def checked(file: Path, width: int = WIDTH) -> None:
    """Holds a file with an input x (batch, width) to TensorRT."""
    check_quantizers(draft_for(file, "rtx-50", "1.7.1", shapes=[f"x=1x{width}:2x{width}:8x{width}"]))


def refused(file: Path, width: int = WIDTH) -> str:
    """The line without the file's name."""
    with pytest.raises(InputError) as caught:
        checked(file, width)
    return str(caught.value).removeprefix(f"{file}: ")


def test_biases_that_onnx_runtime_rounds_to_32_bits(tmp_path: Path):
    wanted = "expected int8, float8e4m3fn, int4, float4e2m1; biases stay floating"
    assert refused(quantized(tmp_path, QuantizeBias=True)) == (
        f"node bias_DequantizeLinear (DequantizeLinear): tensor bias_quantized is int32: {wanted}: quantize with "
        "QuantizeBias off, or by attnexport quantize"
    )


def test_zero_points_that_are_not_zero(tmp_path: Path):
    line = refused(quantized(tmp_path, ActivationSymmetric=False))
    assert line.startswith(
        "node x_QuantizeLinear (QuantizeLinear): tensor x_zero_point: expected zero points of 0, given "
    )
    assert line.endswith(": quantize with ActivationSymmetric and WeightSymmetric, or by attnexport quantize")


@pytest.mark.parametrize("activations", [ort.QuantType.QUInt8, ort.QuantType.QInt16], ids=lambda kind: kind.name)
def test_types_that_are_read_as_another_or_not_at_all(tmp_path: Path, activations: ort.QuantType):
    line = refused(quantized(tmp_path, activations=activations))
    name = activations.name.removeprefix("Q").lower()
    assert line.startswith(f"node x_QuantizeLinear (QuantizeLinear): tensor x_zero_point is {name}: expected int8, ")
    assert line.endswith(": quantize to QInt8, or by attnexport quantize")


def test_what_is_symmetric_and_has_floating_biases_is_taken(tmp_path: Path):
    checked(quantized(tmp_path))


@pytest.mark.needs("tensorrt-rtx")
def test_build_says_so_before_it_asks_tensorrt(refuse, tmp_path: Path):
    file = quantized(tmp_path, QuantizeBias=True)
    shapes = f"x=1x{WIDTH}:2x{WIDTH}:8x{WIDTH}"
    line = refuse("build", file, "-o", tmp_path / "q.engine", "--target", "rtx-30", "--shapes", shapes)
    assert "tensor bias_quantized is int32" in line


def written(path: Path, *, weight: int = TensorProto.INT8, scale: np.ndarray | None = None, **options: object) -> Path:
    """x (batch, 48) in a pair of int8 with a zero point, times a weight (48, 16) behind DequantizeLinear."""
    activations, zero_point = options.pop("activations", TensorProto.INT8), options.pop("zero_point", True)
    scales = np.full((16,), 0.5, np.float32) if scale is None else scale
    zero = ["zero"] if zero_point else []
    nodes = [
        oh.make_node("QuantizeLinear", ["x", "s", *zero], ["x_q"], name="quantize"),
        oh.make_node("DequantizeLinear", ["x_q", "s", *zero], ["x_d"], name="dequantize"),
        oh.make_node("DequantizeLinear", ["w", "w_s"], ["w_d"], name="weight", **({"axis": 1} | options)),
        oh.make_node("MatMul", ["x_d", "w_d"], ["y"], name="product"),
    ]
    initializers = [
        oh.make_tensor("s", TensorProto.FLOAT, [], [0.1]),
        oh.make_tensor("zero", activations, [], [0]),
        oh.make_tensor("w", weight, [48, 16], np.ones(48 * 16, np.int8).tolist()),
        onnx.numpy_helper.from_array(scales, "w_s"),
    ]
    graph = oh.make_graph(
        nodes,
        "pairs",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 48])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])],
        initializers,
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"weight": TensorProto.INT4, "scale": np.ones((2, 16), np.float32), "axis": 0, "block_size": 32},
            "node weight (DequantizeLinear): tensor w_s: expected equal blocks of two or more, given blocks of 32 "
            "along 48: quantize with another size of block, or by attnexport quantize",
        ),
        (
            {"weight": TensorProto.INT4, "scale": np.ones((48, 16), np.float32), "axis": 0, "block_size": 1},
            "node weight (DequantizeLinear): tensor w_s: expected equal blocks of two or more, given blocks of 1 along "
            "48: quantize with another size of block, or by attnexport quantize",
        ),
        (
            {"scale": np.linspace(-1, 1, 16, dtype=np.float32)},
            "node weight (DequantizeLinear): tensor w_s: expected scales above 0, given -1.0",
        ),
        (
            {"activations": TensorProto.FLOAT8E4M3FN},
            "node product (MatMul): expected both operands in float8e4m3fn, given float8e4m3fn and int8",
        ),
        (
            {"zero_point": False},
            "node quantize (QuantizeLinear): tensor x_q is uint8: expected int8, float8e4m3fn, int4, float4e2m1: "
            "quantize to QInt8, or by attnexport quantize",
        ),
    ],
    ids=["blocks", "blocks of one", "scales", "operands", "no zero point"],
)
def test_pairs_that_tensorrt_reads_as_something_else(tmp_path: Path, given: dict, said: str):
    assert refused(written(tmp_path / "pairs.onnx", **given), 48) == said


def test_what_quantize_writes_is_taken(tmp_path: Path):
    file = save_layers(tmp_path / "layers.onnx")
    np.savez(tmp_path / "x.npz", x=heavy_tailed(20))
    for to in ("int8", "fp8", "int8-weights", "int4-weights"):
        data = None if to.endswith("-weights") else tmp_path / "x.npz"
        made = attnexport.quantize(file, tmp_path / f"{to}.onnx", to=to, data=data)
        checked(made.path)
