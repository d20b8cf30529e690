"""Files that other exporters write: weights beside the file, types that it does not say, nodes without names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.errors import InputError
from tests.calibration.graphs import WIDTH, save_layers, weights


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(1).normal(size=(32, WIDTH)).astype(np.float32))
    return tmp_path / "data.npz"


def output(path: Path) -> NDArray[np.float32]:
    x = np.random.default_rng(2).normal(size=(5, WIDTH)).astype(np.float32)
    return np.asarray(OnnxRuntimeBackend(path).run({"x": x})["y"])


def beside(path: Path) -> Path:
    """The file again, with its weights in another."""
    model = onnx.load(path)
    folder = path.parent / "apart"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (folder / "weights.bin").stat().st_size > 1000
    return folder / "model.onnx"


@pytest.mark.parametrize("to", ["int8", "int8-weights"])
def test_weights_beside_the_file_come_along(tmp_path: Path, data: Path, to: str):
    inside = save_layers(tmp_path / "inside.onnx")
    given = {"data": data} if to == "int8" else {}
    expected = attnexport.quantize(inside, tmp_path / "expected.onnx", to=to, keep={"one": ""}, **given)
    (tmp_path / "elsewhere").mkdir()
    made = attnexport.quantize(beside(inside), tmp_path / "elsewhere" / "q.onnx", to=to, keep={"one": ""}, **given)
    assert np.array_equal(output(made.path), output(expected.path))


def test_ranges_know_the_weights_that_lie_beside_the_file(tmp_path: Path, data: Path):
    file = beside(save_layers(tmp_path / "inside.onnx"))
    ranges = attnexport.calibrate(file, data)
    stored = bytearray((file.parent / "weights.bin").read_bytes())
    stored[5] ^= 1
    (file.parent / "weights.bin").write_bytes(stored)
    with pytest.raises(InputError, match="whose ranges these are"):
        attnexport.quantize(file, tmp_path / "q.onnx", to="int8", ranges=ranges)


@pytest.mark.parametrize("keep", [{}, {"one": "fp16"}])
def test_types_that_a_file_does_not_say_are_inferred(tmp_path: Path, data: Path, keep: dict[str, str]):
    file = save_layers(tmp_path / "typed.onnx")
    expected = attnexport.quantize(file, tmp_path / "expected.onnx", to="int8", data=data, keep=keep)
    model = onnx.load(file)
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "untyped.onnx")
    made = attnexport.quantize(tmp_path / "untyped.onnx", tmp_path / "q.onnx", to="int8", data=data, keep=keep)
    assert np.array_equal(output(made.path), output(expected.path))


def test_nodes_without_names_that_read_one_tensor_are_kept_apart(tmp_path: Path):
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "first"], ["a"]),
        onnx.helper.make_node("MatMul", ["x", "second"], ["b"]),
        onnx.helper.make_node("MatMul", ["x", "third"], ["c"], name="named"),
        onnx.helper.make_node("Sum", ["a", "b", "c"], ["y"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "unnamed",
        [value("x", onnx.TensorProto.FLOAT, ["n", WIDTH])],
        [value("y", onnx.TensorProto.FLOAT, ["n", 24])],
        [
            onnx.numpy_helper.from_array(weights()[0] * factor, name)
            for name, factor in (("first", np.float32(1)), ("second", np.float32(2)), ("third", np.float32(3)))
        ],
    )
    opset = [onnx.helper.make_opsetid("", 21)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "unnamed.onnx")
    made = attnexport.quantize(tmp_path / "unnamed.onnx", tmp_path / "q.onnx", to="int8-weights", keep={"": "fp16"})
    onnx.checker.check_model(onnx.load(made.path), full_check=True)
    assert np.abs(output(made.path) - output(tmp_path / "unnamed.onnx")).max() < 0.5


def with_first(path: Path, number: float) -> Path:
    model = onnx.load(path)
    first = weights()[0]
    first[3, 4] = number
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(first, "first"))
    onnx.save(model, path)
    return path


def test_weights_that_are_not_finite_are_refused(tmp_path: Path):
    file = with_first(save_layers(tmp_path / "layers.onnx"), np.nan)
    with pytest.raises(InputError, match="layer one: expected finite weights, given 1 other"):
        attnexport.quantize(file, tmp_path / "q.onnx", to="int8-weights")
    assert not (tmp_path / "q.onnx").exists()


def test_weights_that_half_does_not_hold_are_refused(tmp_path: Path):
    file = with_first(save_layers(tmp_path / "layers.onnx"), 70_000)
    with pytest.raises(InputError, match=r"weight first: expected values that float16 holds, given 7e\+04"):
        attnexport.quantize(file, tmp_path / "q.onnx", to="int8-weights", keep={"one": "fp16"})
    assert not (tmp_path / "q.onnx").exists()
