"""ModelOpt's scales and rounded weights stand where ours would; its graph is not believed."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.layers import layers_of
from attnexport.calibration.modelopt.reading import read_activations, read_weights
from attnexport.calibration.schemes import SCHEMES
from attnexport.errors import BackendError, InputError
from attnexport.graph.quantization import quantized_weights
from tests.calibration.graphs import HIDDEN, OUT, WIDTH, heavy_tailed, save_layers, weights
from tests.plugins import libraries

DIGITS = Path("samples/digits")


@dataclass(frozen=True)
class Made:
    """A file of ModelOpt's, what it is of, and what was left where temporary files are."""

    source: Path
    quantization: attnexport.Quantization
    left_behind: list[str]


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The int8 file of a sample, by the largest values of 32 images, with a block kept."""
    converted = {of.parts[-2:]: file for of, file in libraries.converted_samples(tmp_path_factory).items()}
    source = converted["digits", "krause.pt2"]
    folder = tmp_path_factory.mktemp("modelopt")
    with pytest.MonkeyPatch.context() as patch:
        (folder / "temporary").mkdir()
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        made = attnexport.quantize(
            source,
            folder / "int8.onnx",
            to="int8",
            data=DIGITS / "test.npz",
            samples=32,
            keep={"blocks.0.*": ""},
            backend="modelopt",
        )
    return Made(source, made, [path.name for path in (folder / "temporary").iterdir()])


@pytest.mark.needs("ModelOpt")
def test_nodes_keep_their_bodies_and_what_is_noted_beside_them(int8: Made):
    before, after = onnx.load(int8.source), onnx.load(int8.quantization.path)
    assert [function.SerializeToString() for function in after.functions] == [
        function.SerializeToString() for function in before.functions
    ]
    assert attention_of(after) == attention_of(before) != []
    assert {node.op_type for node in after.graph.node if node.op_type.endswith("Linear")} == {
        "QuantizeLinear",
        "DequantizeLinear",
    }
    assert not [tensor.name for tensor in after.graph.initializer if tensor.data_type == TensorProto.INT32]


def attention_of(model: onnx.ModelProto) -> list[bytes]:
    return [node.SerializeToString() for node in model.graph.node if node.domain == "attnexport"]


@pytest.mark.needs("ModelOpt")
def test_layers_that_it_finds_too_small_are_told_and_those_that_are_kept_are_honoured(int8: Made):
    made = int8.quantization
    assert {"embed", "head"} <= set(made.kept)
    assert not [name for name in made.layers if name.startswith("blocks.0.")]
    assert len(made.layers) == 18
    assert len(quantized_weights(ir.load(made.path))) == 18
    assert [note for note in made.notes if "left" in note] == ["ModelOpt 0.47.0 left embed, head as they are"]
    assert made.ranges is not None
    assert (made.ranges.method, made.ranges.samples) == ("minmax by ModelOpt 0.47.0", 32)


@pytest.mark.needs("ModelOpt")
def test_its_largest_values_give_the_file_that_ours_give(int8: Made, tmp_path: Path):
    keep = dict.fromkeys(int8.quantization.kept, "")
    ours = attnexport.quantize(
        int8.source, tmp_path / "ours.onnx", to="int8", data=DIGITS / "test.npz", samples=32, keep=keep
    )
    assert int8.quantization.ranges is not None
    assert ours.ranges is not None
    found = {name: one.magnitude for name, one in int8.quantization.ranges.tensors.items()}
    assert found == pytest.approx({name: ours.ranges.tensors[name].magnitude for name in found}, rel=1e-5)
    with np.load(DIGITS / "test.npz") as stored:
        image = stored["image"][:64]
    theirs = OnnxRuntimeBackend(int8.quantization.path).run({"image": image})
    given = OnnxRuntimeBackend(ours.path).run({"image": image})
    for name, values in given.items():
        assert (theirs[name].argmax(-1) == values.argmax(-1)).mean() > 0.98
        assert np.abs(theirs[name] - values).mean() < 0.02 * np.abs(values).mean()


@pytest.mark.needs("ModelOpt")
def test_its_temporary_files_are_gone(int8: Made):
    assert int8.left_behind == []
    assert [path.name for path in int8.quantization.path.parent.iterdir()] == ["int8.onnx", "temporary"]


@pytest.mark.needs("ModelOpt")
def test_awq_errs_less_than_rounding_to_the_nearest_on_the_data(tmp_path: Path):
    file, x = save_layers(tmp_path / "layers.onnx"), heavy_tailed(48)
    np.savez(tmp_path / "x.npz", x=x)
    options = {"to": "int4-weights", "data": tmp_path / "x.npz", "method": "awq", "backend": "modelopt"}
    made = attnexport.quantize(file, tmp_path / "awq.onnx", **options)
    assert (made.precision, set(made.layers)) == ("int4-weights", {"one", "two"})
    held = {weight.values.shape: weight.values for weight in quantized_weights(ir.load(made.path))}
    first, second, _ = weights()
    scale = np.abs(first).max(axis=0) / 7
    nearest = np.rint(first / scale) * scale
    assert np.square(x @ (held[first.shape] - first)).mean() < 0.9 * np.square(x @ (nearest - first)).mean()
    # A Gemm whose weight lies by outputs is not confused with one whose weight lies by inputs.
    bent = np.tanh(x @ first)
    assert np.square(bent @ (held[second.shape] - second).T).mean() < 0.01 * np.square(bent @ second.T).mean()


@pytest.mark.needs("ModelOpt")
@pytest.mark.thorough
def test_fp8_and_entropy_are_what_was_asked_for(tmp_path: Path, int8: Made):
    options = {"data": DIGITS / "test.npz", "samples": 32, "backend": "modelopt"}
    fp8 = attnexport.quantize(int8.source, tmp_path / "fp8.onnx", to="fp8", **options)
    entropy = attnexport.quantize(int8.source, tmp_path / "e.onnx", to="int8", method="entropy", **options)
    assert (fp8.precision, entropy.precision) == ("fp8", "int8")
    assert fp8.ranges is not None
    assert entropy.ranges is not None
    clipped = [
        entropy.ranges.tensors[name].magnitude < 0.99 * one.magnitude for name, one in fp8.ranges.tensors.items()
    ]
    assert any(clipped)


@pytest.mark.needs("ModelOpt")
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.full((3, WIDTH), np.nan, np.float32), "tensor x: expected finite values, given 120 others"),
        (np.zeros((0, WIDTH), np.float32), "expected at least one sample, given none"),
        (np.zeros((3, WIDTH + 1), np.float32), r"expected x \(batch, 40\) float32, given \(3, 41\)"),
    ],
)
def test_data_that_says_nothing_is_refused(tmp_path: Path, x: NDArray[np.float32], said: str):
    file = save_layers(tmp_path / "layers.onnx")
    np.savez(tmp_path / "x.npz", x=x)
    with pytest.raises(InputError, match=said):
        attnexport.quantize(file, tmp_path / "q.onnx", to="int8", data=tmp_path / "x.npz", backend="modelopt")
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": "int8-weights"}, "modelopt.: expected to int8, fp8, int4-weights, given int8-weights"),
        ({"to": "int8", "method": "mse"}, "expected method minmax or entropy for int8, given mse"),
        ({"to": "int4-weights", "method": "entropy"}, "expected method minmax or awq for int4-weights, given entropy"),
        ({"to": "int8", "ranges": "r.json"}, "ranges: backend=.modelopt. finds ranges itself, from data"),
        ({"to": "int8", "data": None}, "expected data for int8 by minmax, given none"),
        ({"to": "int4-weights", "method": "awq", "data": None}, "expected data for int4-weights by awq, given none"),
        ({"to": "int4-weights", "method": "awq", "backend": "onnxruntime"}, "expected backend=.modelopt., given onnx"),
        ({"to": "int8", "backend": "modelop"}, "expected onnxruntime, modelopt, given modelop; did you mean modelopt"),
    ],
)
def test_what_it_cannot_make_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict, said: str):
    file = save_layers(tmp_path / "layers.onnx")
    np.savez(tmp_path / "x.npz", x=heavy_tailed(4))
    monkeypatch.setitem(sys.modules, "modelopt", sys)
    with pytest.raises(InputError, match=said):
        attnexport.quantize(file, tmp_path / "q.onnx", **{"data": tmp_path / "x.npz", "backend": "modelopt", **given})
    assert not (tmp_path / "q.onnx").exists()


def test_without_it_the_command_that_installs_it_is_said(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = save_layers(tmp_path / "layers.onnx")
    np.savez(tmp_path / "x.npz", x=heavy_tailed(4))
    monkeypatch.setitem(sys.modules, "modelopt", None)
    options = ("--to", "int8", "--data", tmp_path / "x.npz", "--backend", "modelopt")
    result = run("quantize", file, "-o", tmp_path / "q.onnx", *options)
    assert result.code == 2
    said = "--backend modelopt: NVIDIA ModelOpt is not installed; pip install 'attnexport[modelopt]' brings it"
    assert result.err == f"attnexport: {said}\n"


def written(path: Path, weight: NDArray, scale: NDArray, *, zero: int = 0, activation_scale: float = 0.1) -> Path:
    """A file as ModelOpt writes it, of the second layer of the small one alone."""
    nodes = [
        helper.make_node("QuantizeLinear", ["bent", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        helper.make_node("Gemm", ["d", "wd"], ["y"], name="layer1"),
    ]
    tensors = {
        "s": np.float32(activation_scale),
        "z": np.int8(0),
        "w": weight,
        "ws": scale,
        "wz": np.full(scale.shape, zero, weight.dtype),
    }
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("bent", TensorProto.FLOAT, ["batch", HIDDEN])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", OUT])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.fixture
def right() -> dict:
    """The second layer's weight by inputs, rounded as it should be."""
    second = weights()[1].T
    scale = (np.abs(second).max(axis=0) / 127).astype(np.float32)
    return {"weight": np.rint(second / scale).astype(np.int8), "scale": scale}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weight": np.zeros((OUT, HIDDEN), np.int8)}, r"layer two: expected a weight \(3, 24\), given \(24, 3\)"),
        ({"weight": np.full((HIDDEN, OUT), -128, np.int8)}, "layer two: expected its weight, given one of a relative"),
        ({"weight": np.zeros((HIDDEN, OUT), np.int8)}, "layer two: expected its weight, given one of a relative"),
        ({"weight": np.zeros((HIDDEN, OUT), np.uint8)}, "layer two: expected INT8, given UINT8"),
        ({"scale": np.zeros(OUT, np.float32)}, "layer two: expected positive scales"),
        ({"scale": np.full(OUT, np.nan, np.float32)}, "layer two: expected positive scales"),
        ({"scale": np.ones(HIDDEN, np.float32)}, r"layer two: expected scales \(3,\) of its weight, given \(24,\)"),
        ({"zero": 1}, "layer two: expected zero points of 0"),
        ({"activation_scale": -1.0}, "layer two: expected positive scales"),
    ],
)
def test_what_is_none_of_the_layers_is_refused(tmp_path: Path, right: dict, wrong: dict, said: str):
    layers = list(layers_of(ir.load(save_layers(tmp_path / "layers.onnx"))))
    file = written(tmp_path / "right.onnx", **right)
    (rounded,) = read_weights([file], layers, SCHEMES["int8"]).values()
    assert (rounded.values == right["weight"].T).all()
    ((name, activation),) = read_activations([file], layers, ir.DataType.INT8).items()
    assert (name, activation.magnitude) == ("bent", pytest.approx(12.7))
    file = written(tmp_path / "wrong.onnx", **{**right, **wrong})
    read = read_activations if "activation_scale" in wrong else read_weights
    kind = ir.DataType.INT8 if "activation_scale" in wrong else SCHEMES["int8"]
    with pytest.raises(BackendError, match=f"ModelOpt: {said}"):
        read([file], layers, kind)
