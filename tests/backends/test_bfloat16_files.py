"""Files in bfloat16 run on a CPU, and give what PyTorch gives in bfloat16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper as onh
import onnx_ir as ir
import pytest
import torch

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.backends.onnxruntime_sessions import WIDENED
from attnexport.cli import main
from attnexport.errors import BackendError, InputError
from attnexport.graph.widening import widen_bfloat16
from tests.conversion.models import DYNAMIC, every_variant, example

BFLOAT16 = onnx.TensorProto.BFLOAT16


def elementwise(path: Path, operator: str, opset: int = 20) -> Path:
    """A file of one operator of two bfloat16 inputs."""
    inputs = [oh.make_tensor_value_info(name, BFLOAT16, ["n"]) for name in "ab"]
    graph = oh.make_graph(
        [oh.make_node(operator, ["a", "b"], ["y"])], "g", inputs, [oh.make_tensor_value_info("y", BFLOAT16, ["n"])]
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("operator", "expected"), [("Add", torch.add), ("Mul", torch.mul), ("Sub", torch.sub), ("Div", torch.div)]
)
def test_elementwise_results_are_rounded_once_as_in_torch(operator: str, expected, tmp_path: Path):
    backend = OnnxRuntimeBackend(elementwise(tmp_path / "m.onnx", operator))
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4096, generator=random).bfloat16() for _ in range(2))
    given = backend.run({"a": a.float().numpy(), "b": b.float().numpy()})["y"]
    np.testing.assert_array_equal(given, expected(a, b).float().numpy())


def test_what_runs_is_said(tmp_path: Path):
    assert WIDENED in OnnxRuntimeBackend(elementwise(tmp_path / "m.onnx", "Mul")).description


@pytest.mark.parametrize("taken", [torch.float32, torch.bfloat16])
def test_files_that_only_take_or_give_bfloat16_run(taken: torch.dtype, tmp_path: Path):
    given = torch.float32 if taken is torch.bfloat16 else torch.bfloat16
    names = {torch.float32: onnx.TensorProto.FLOAT, torch.bfloat16: BFLOAT16}
    graph = oh.make_graph(
        [oh.make_node("Cast", ["x"], ["y"], to=names[given])],
        "g",
        [oh.make_tensor_value_info("x", names[taken], [])],
        [oh.make_tensor_value_info("y", names[given], [])],
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    outputs = OnnxRuntimeBackend(tmp_path / "m.onnx").run({"x": torch.tensor(1.5).numpy()})
    assert outputs["y"] == 1.5


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, attnexport.Conversion]:
    """A model of all variants in bfloat16 as a .pt2, its file and its conversion."""
    folder = tmp_path_factory.mktemp("bfloat16")
    model, args = every_variant(causal=True).bfloat16().eval(), (example().bfloat16(),)
    attnexport.save(model, folder / "m.pt2", args=args, dynamic_shapes=DYNAMIC)
    result = attnexport.convert(model, args, folder / "m.onnx", dynamic_shapes=DYNAMIC)
    return folder / "m.pt2", result.path, result


def test_every_variant_is_proven_at_three_shapes(converted: tuple[Path, Path, attnexport.Conversion]):
    assert len(converted[2].verified) == 3
    assert not any(note.startswith("not run") for note in converted[2].notes)


def check(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["check", *map(str, arguments), "--kinds", "normal"])
    return int(ended.value.code or 0)


def test_every_variant_is_within_the_budget_of_bf16(converted: tuple[Path, Path, attnexport.Conversion], capsys):
    assert check(*converted[:2]) == 0
    assert "held to PyTorch at bf16" in " ".join(capsys.readouterr().out.split())


def test_a_wrong_weight_is_outside_and_found(converted: tuple[Path, Path, attnexport.Conversion], tmp_path, capsys):
    model = ir.load(converted[1])
    bias = model.graph.initializers["head.bias"]
    bias.const_value = ir.tensor((bias.const_value.numpy() + 0.5).astype(ir.DataType.BFLOAT16.numpy()))
    ir.save(model, tmp_path / "wrong.onnx")
    assert check(converted[0], tmp_path / "wrong.onnx", "--bisect") == 1
    assert "head" in capsys.readouterr().out


def test_weights_in_branches_and_types_in_attributes_are_widened(tmp_path: Path):
    """An If whose branches hold a bfloat16 constant and cast to bfloat16."""
    half = onh.from_array(np.array([1.0 + 2**-7], ir.DataType.BFLOAT16.numpy()), "c")
    then = oh.make_graph(
        [oh.make_node("Constant", [], ["c"], value=half), oh.make_node("Mul", ["x", "c"], ["t"])],
        "then",
        [],
        [oh.make_tensor_value_info("t", BFLOAT16, None)],
    )
    other = oh.make_graph(
        [
            oh.make_node("Cast", ["x"], ["wide"], to=onnx.TensorProto.FLOAT),
            oh.make_node("Sqrt", ["wide"], ["root"]),
            oh.make_node("Cast", ["root"], ["e"], to=BFLOAT16),
        ],
        "else",
        [],
        [oh.make_tensor_value_info("e", BFLOAT16, None)],
    )
    graph = oh.make_graph(
        [oh.make_node("If", ["p"], ["y"], then_branch=then, else_branch=other)],
        "g",
        [oh.make_tensor_value_info("x", BFLOAT16, [1]), oh.make_tensor_value_info("p", onnx.TensorProto.BOOL, [])],
        [oh.make_tensor_value_info("y", BFLOAT16, [1])],
    )
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    backend, x = OnnxRuntimeBackend(tmp_path / "m.onnx"), torch.tensor([3.0], dtype=torch.bfloat16)
    for taken, expected in ((True, x * torch.tensor(1.0 + 2**-7).bfloat16()), (False, x.sqrt())):
        given = backend.run({"x": x.float().numpy(), "p": np.array(taken)})["y"]
        np.testing.assert_array_equal(given, expected.float().numpy())


def test_tensors_keep_their_names(converted: tuple[Path, Path, attnexport.Conversion]):
    model = ir.load(converted[1])
    names = {value.name for node in model.graph for value in node.outputs}
    widen_bfloat16(model)
    assert names <= {value.name for node in model.graph for value in node.outputs}


def test_weights_outside_of_the_models_folder_are_not_read(tmp_path: Path):
    (tmp_path / "secret").write_bytes(bytes(8))
    folder = tmp_path / "model"
    folder.mkdir()
    path = elementwise(folder / "m.onnx", "Mul")
    model = onnx.load(path)
    tensor = onnx.TensorProto(name="b", data_type=BFLOAT16, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    model.graph.initializer.append(tensor)
    onnx.save(model, path)
    with pytest.raises((BackendError, InputError), match=r"secret|external"):
        OnnxRuntimeBackend(path)
