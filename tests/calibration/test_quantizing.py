"""A quantized file computes what Q/DQ around its layers means, and nothing else in it has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

import attnexport
from attnexport.accuracy.contenders.quantized_files import take_apart
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.rewriting import equal_block
from attnexport.errors import InputError
from tests.calibration.graphs import HIDDEN, OUT, WIDTH, heavy_tailed, save_layers, weights
from tests.calibration.tied import HEAD, save_tied
from tests.plugins import libraries

DIGITS = Path("samples/digits")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_layers(tmp_path / "layers.onnx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(1).normal(size=(50, WIDTH)).astype(np.float32))
    return tmp_path / "data.npz"


def grid(values: NDArray[np.float64], magnitude: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """The nearest of scale times an integer, or times an e4m3 number."""
    scale = (magnitude / largest).astype(np.float32).astype(np.float64)
    if largest == 448:
        small = np.clip(values / scale, -448, 448).astype(np.float32).astype(ml_dtypes.float8_e4m3fn)
        return small.astype(np.float64) * scale
    return np.clip(np.rint(values / scale), -largest, largest) * scale


@pytest.mark.parametrize(("to", "largest"), [("int8", 127.0), ("fp8", 448.0)])
def test_weights_by_output_and_activations_as_a_whole_are_on_their_grids(
    file: Path, data: Path, to: str, largest: float
):
    made = attnexport.quantize(file, file.with_name("q.onnx"), to=to, data=data)
    first, second, bias = (array.astype(np.float64) for array in weights())
    with np.load(data) as stored:
        x = stored["x"]
    bent = np.tanh(x.astype(np.float64) @ first)
    x_rounded = grid(x.astype(np.float64), np.abs(x).max(), largest)
    bent_rounded = np.tanh(x_rounded @ grid(first, np.abs(first).max(axis=0, keepdims=True), largest))
    bent_rounded = grid(bent_rounded, np.abs(bent).max(), largest)
    expected = bent_rounded @ grid(second, np.abs(second).max(axis=1, keepdims=True), largest).T + bias
    given = OnnxRuntimeBackend(made.path).run({"x": x})["y"]
    step = np.abs(bent).max() / largest if largest == 127 else np.abs(bent).max() / 16
    # A value between two steps may go to either: one step of one summand.
    assert np.abs(given - expected).max() <= 1.01 * step * np.abs(second).max()
    assert np.median(np.abs(given - expected)) < 1e-5
    assert made.precision == to
    assert made.layers == {"one": to, "two": to}


def test_four_bits_have_a_scale_for_equal_blocks_of_what_is_summed(file: Path):
    """TensorRT reads the size of a block off the number of scales, so that a last block must be no smaller."""
    made = attnexport.quantize(file, file.with_name("q.onnx"), to="int4-weights", block=16)
    first, second, bias = (array.astype(np.float64) for array in weights())
    assert (WIDTH, HIDDEN) == (40, 24)
    shares = np.linspace(0.7, 1, 16)[::-1]
    first, second = in_blocks(first, 20, shares), in_blocks(second.T, 12, shares)
    x = np.random.default_rng(2).normal(size=(5, WIDTH)).astype(np.float32)
    expected = np.tanh(x.astype(np.float64) @ first) @ second + bias
    assert np.abs(OnnxRuntimeBackend(made.path).run({"x": x})["y"] - expected).max() < 1e-5
    assert made.precision == "int4-weights"


def test_four_bits_err_less_than_at_scales_of_the_largest_number(tmp_path: Path):
    """An outlier of a block saturates where that lets the other numbers be told apart."""
    weight = np.random.default_rng(3).standard_t(4, size=(256, 64))
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[n, 256] x) => (float[n, 64] y) { y = MatMul(x, weight) }'
    )
    model.graph.register_initializer(ir.val("weight", const_value=ir.tensor(weight.astype(np.float32), name="weight")))
    ir.save(model, tmp_path / "model.onnx")
    made = attnexport.quantize(tmp_path / "model.onnx", tmp_path / "q.onnx", to="int4-weights")
    held = OnnxRuntimeBackend(made.path).run({"x": np.eye(256, dtype=np.float32)})["y"]
    largest = in_blocks(weight, 32)
    assert ((held - weight) ** 2).sum() < 0.85 * ((largest - weight) ** 2).sum()


def in_blocks(weight: NDArray[np.float64], block: int, shares: Sequence[float] = (1.0,)) -> NDArray[np.float64]:
    """What four bits hold of a weight (summed, outputs), each block at the best share of its largest number."""
    parts = np.split(weight, len(weight) // block)
    held = np.stack([np.concatenate([_four_bits(part, share) for part in parts]) for share in shares])
    errors = ((held - weight) ** 2).reshape(len(shares), len(parts), block, -1).sum(axis=2)
    best = np.repeat(errors.argmin(axis=0), block, axis=0)
    return np.take_along_axis(held, best[None], axis=0)[0]


def _four_bits(block: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    scale = (share * np.abs(block).max(axis=0, keepdims=True) / 7).astype(np.float32).astype(np.float64)
    return np.asarray(np.clip(np.rint(block / scale), -8, 7) * scale)


@pytest.mark.parametrize(
    ("summed", "wanted", "block"), [(128, 32, 32), (48, 32, 24), (40, 32, 40), (4, 32, 4), (97, 32, 97), (62, 32, 31)]
)
def test_blocks_are_equal_and_about_as_large_as_asked_for(summed: int, wanted: int, block: int):
    assert equal_block(summed, wanted) == block


def test_four_bits_are_for_matrix_products_alone(tmp_path: Path):
    """TensorRT takes no convolution in blocks."""
    nodes = [
        onnx.helper.make_node("Conv", ["x", "kernel"], ["through"], name="convolution", group=4),
        onnx.helper.make_node("MatMul", ["through", "weight"], ["y"], name="product"),
    ]
    random = np.random.default_rng(0)
    kernel, weight = random.normal(size=(4, 1, 3)).astype(np.float32), random.normal(size=(6, 5)).astype(np.float32)
    graph = onnx.helper.make_graph(
        nodes,
        "both",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 4, 8])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 4, 5])],
        [onnx.numpy_helper.from_array(kernel, "kernel"), onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "both.onnx")
    made = attnexport.quantize(tmp_path / "both.onnx", tmp_path / "q.onnx", to="int4-weights")
    assert (dict(made.layers), made.kept) == ({"product": "int4-weights"}, ("convolution",))
    del model.graph.node[1:], model.graph.initializer[1:]
    model.graph.output[0].name = "through"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 6
    onnx.save(model, tmp_path / "alone.onnx")
    with pytest.raises(InputError, match="expected a layer of MatMul or Gemm, given none"):
        attnexport.quantize(tmp_path / "alone.onnx", tmp_path / "q2.onnx", to="int4-weights")


def test_weights_alone_leave_activations_as_they_are(file: Path):
    made = attnexport.quantize(file, file.with_name("q.onnx"), to="int8-weights")
    operators = [node.op_type for node in onnx.load(made.path).graph.node]
    assert "QuantizeLinear" not in operators
    assert operators.count("DequantizeLinear") == 2
    assert made.ranges is None


def test_no_floating_weight_stays_behind(file: Path, data: Path):
    """An unquantized result would pass for a quantized one."""
    made = attnexport.quantize(file, file.with_name("q.onnx"), to="int8", data=data)
    floating = [
        tensor.name
        for tensor in onnx.load(made.path).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > max(HIDDEN, WIDTH)
    ]
    assert floating == []


@pytest.mark.parametrize("sample", ["digits/krause", "digits/hla", "language/krause"])
def test_attention_nodes_and_their_bodies_are_as_they_were(
    sample: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    converted = {
        f"{of.parent.name}/{of.stem}": file for of, file in libraries.converted_samples(tmp_path_factory).items()
    }
    path = converted[sample]
    made = attnexport.quantize(
        path, tmp_path / "q.onnx", to="int8", data=Path("samples", sample).with_name("test.npz"), samples=8
    )
    before, after = onnx.load(path), onnx.load(made.path)
    assert [function.SerializeToString() for function in after.functions] == [
        function.SerializeToString() for function in before.functions
    ]
    dequantized = {node.output[0] for node in after.graph.node if node.op_type == "DequantizeLinear"}
    for model in (before, after):
        nodes = [node for node in model.graph.node if node.domain == "attnexport"]
        assert nodes
        assert not [name for node in nodes for name in node.input if name in dequantized]
    products = {"MatMul", "Gemm", "Conv"}
    readers = [node for node in after.graph.node if dequantized & set(node.input)]
    assert {node.op_type for node in readers} <= products
    assert all(len(dequantized & set(node.input)) == 2 for node in readers)


def test_the_gate_proves_the_graph_of_a_mixed_file_and_holds_it_to_fake_quantization(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    converted = {of.parts[-2:]: file for of, file in libraries.converted_samples(tmp_path_factory).items()}
    options = {"data": DIGITS / "test.npz", "samples": 100, "keep": {"blocks.0.*": "fp16", "head": "bf16"}}
    made = attnexport.quantize(converted["digits", "krause.pt2"], tmp_path / "q.onnx", to="int8", **options)
    assert len(made.kept) == 7
    model = attnexport.load_model(DIGITS / "krause.pt2")
    report = attnexport.check(model, [str(made.path)], data=DIGITS / "test.npz")
    assert report.passed
    assert [result.facts.precision for result in report.contenders] == ["fp32", "int8"]

    changed = onnx.load(made.path)
    (weight,) = [
        it for it in changed.graph.initializer if it.data_type == onnx.TensorProto.BFLOAT16 and len(it.dims) == 2
    ]
    weight.raw_data = bytes(len(weight.raw_data))
    onnx.save(changed, tmp_path / "changed.onnx")
    parts = take_apart(tmp_path / "changed.onnx", model, tmp_path / "parts")
    assert [fault.name for fault in parts.faults] == [weight.name]


def test_kept_layers_are_as_they_were(file: Path, data: Path):
    made = attnexport.quantize(file, file.with_name("q.onnx"), to="int8", data=data, keep={"t*": ""})
    assert (dict(made.layers), made.kept) == ({"one": "int8"}, ("two",))
    assert made.parameters == (WIDTH * HIDDEN, WIDTH * HIDDEN + HIDDEN * OUT)
    (gemm,) = [node for node in onnx.load(made.path).graph.node if node.op_type == "Gemm"]
    assert list(gemm.input) == ["bent", "second", "bias"]


def test_kept_layers_compute_in_the_type_that_is_asked_for(file: Path, data: Path):
    made = attnexport.quantize(file, file.with_name("q.onnx"), to="int8", data=data, keep={"two": "fp16"})
    onnx.checker.check_model(str(made.path), full_check=True)
    session = onnxruntime.InferenceSession(str(made.path))
    assert [output.name for output in session.get_outputs()] == ["y"]
    (gemm,) = [node for node in onnx.load(made.path).graph.node if node.op_type == "Gemm"]
    held = {tensor.name: tensor.data_type for tensor in onnx.load(made.path).graph.initializer}
    assert {held[name] for name in gemm.input[1:]} == {onnx.TensorProto.FLOAT16}


def test_weights_of_a_bfloat16_file_are_the_nearest_of_the_scales_that_it_holds(tmp_path: Path):
    file = save_layers(tmp_path / "half.onnx", element=onnx.TensorProto.BFLOAT16)
    attnexport.quantize(file, tmp_path / "q.onnx", to="int8-weights")
    held = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(tmp_path / "q.onnx").graph.initializer}
    scale, given = held["first_scale"].astype(np.float64), held["first_quantized"].astype(np.float64)
    wanted = weights()[0].astype(ml_dtypes.bfloat16).astype(np.float64)
    assert (np.abs(given * scale - wanted) <= 0.5001 * scale).all()


def test_files_whose_types_q_dq_nodes_do_not_take_are_refused(tmp_path: Path):
    half = save_layers(tmp_path / "half.onnx", opset=17, element=onnx.TensorProto.FLOAT16)
    with pytest.raises(InputError, match="layer one is FLOAT16 needs opset 19, given 17: convert with opset=19"):
        attnexport.quantize(half, tmp_path / "q.onnx", to="int8-weights")
    double = save_layers(tmp_path / "double.onnx", element=onnx.TensorProto.DOUBLE)
    with pytest.raises(InputError, match="expected MatMul, Gemm or Conv nodes with constant weights"):
        attnexport.quantize(double, tmp_path / "q.onnx", to="int8-weights")
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    ("opset", "to", "said"),
    [(17, "fp8", "fp8 needs opset 19, given 17"), (20, "int4-weights", "int4-weights needs opset 21, given 20")],
)
def test_a_file_of_an_older_opset_is_refused(tmp_path: Path, data: Path, opset: int, to: str, said: str):
    file = save_layers(tmp_path / "old.onnx", opset=opset)
    with pytest.raises(InputError, match=said):
        attnexport.quantize(file, tmp_path / "q.onnx", to=to, data=data if to == "fp8" else None)
    assert not (tmp_path / "q.onnx").exists()


def test_what_is_quantized_is_not_quantized_again(file: Path, data: Path):
    made = attnexport.quantize(file, file.with_name("q.onnx"), to="int8", data=data)
    with pytest.raises(InputError, match="expected a file without Q/DQ nodes, given one in int8"):
        attnexport.quantize(made.path, file.with_name("again.onnx"), to="int8", data=data)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": "int8"}, "expected data or ranges, given neither"),
        ({"to": "int4-weights", "data": "data.npz"}, "int4-weights rounds weights alone and needs no data"),
        (
            {"to": "int7", "data": "data.npz"},
            "expected int8, fp8, int8-weights, int4-weights, given int7; did you mean int",
        ),
        ({"to": "int8", "data": "data.npz", "method": "max"}, "expected minmax, percentile, entropy, mse, given max"),
        ({"to": "int8", "data": "data.npz", "samples": 0}, "samples: expected at least 1, given 0"),
        ({"to": "int8", "data": "data.npz", "keep": {"three": ""}}, "keep three: expected a pattern of layer names"),
        ({"to": "int8", "data": "data.npz", "keep": {"*": ""}}, "expected a layer to be left to quantize"),
        ({"to": "int8", "data": "data.npz", "keep": {"one": "int8"}}, "expected fp32, fp16, bf16, given int8"),
        ({"to": "int8", "data": "none.npz"}, "none.npz: no such file"),
        ({"to": "int8-weights", "block": 32}, 'block: expected to="int4-weights", given int8-weights'),
        ({"to": "int4-weights", "block": 1}, "block: expected at least 2, given 1"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_written(file: Path, data: Path, given: dict, said: str):
    given = {name: file.with_name(value) if name == "data" else value for name, value in given.items()}
    with pytest.raises(InputError, match=said):
        attnexport.quantize(file, file.with_name("q.onnx"), **given)
    assert sorted(path.name for path in file.parent.iterdir()) == ["data.npz", "layers.onnx"]


def test_a_range_that_leaves_tails_out_keeps_the_digits_of_the_rest(file: Path):
    data = file.with_name("tails.npz")
    np.savez(data, x=heavy_tailed(2000))
    x = np.random.default_rng(3).normal(size=(100, WIDTH)).astype(np.float32)
    exact = OnnxRuntimeBackend(file).run({"x": x})["y"]
    errors = {}
    for method in ("minmax", "entropy"):
        made = attnexport.quantize(file, file.with_name(f"{method}.onnx"), to="int8", data=data, method=method)
        errors[method] = np.abs(OnnxRuntimeBackend(made.path).run({"x": x})["y"] - exact).mean()
    assert errors["entropy"] < errors["minmax"] / 2


def test_weights_that_several_nodes_read_are_quantized_too(tmp_path: Path):
    path, data = save_tied(tmp_path / "tied.onnx")
    made = attnexport.quantize(path, tmp_path / "q.onnx", to="int8", data=data)
    assert set(made.layers) == {"layer", HEAD}
    model = onnx.load(made.path)
    assert "Transpose" not in {node.op_type for node in model.graph.node}
    held = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    types = sorted(tensor.data_type for tensor in held.values())
    assert types == [onnx.TensorProto.FLOAT, *[onnx.TensorProto.INT8] * 3]
    with np.load(data) as stored:
        tokens = {"tokens": stored["tokens"]}
    (exact,), (given,) = (OnnxRuntimeBackend(file).run(tokens).values() for file in (path, made.path))
    assert 0 < np.abs(given - exact).max() < 0.1 * np.abs(exact).max()
