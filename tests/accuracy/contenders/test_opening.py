"""Contenders as the command line names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import attnexport
from attnexport.accuracy.check.check import check
from attnexport.accuracy.contenders.opening import Opener
from attnexport.accuracy.contenders.texts import parse_contender
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.files import Batch
from attnexport.errors import BackendError, InputError
from attnexport.graph.file_precision import precision_of
from attnexport.graph.inspection import read_model
from attnexport.models.model import Model

WIDTH = 6


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    return torch.export.export(nn.Linear(WIDTH, 4).eval(), (torch.randn(3, WIDTH),))


@pytest.fixture(scope="module")
def converted(program: torch.export.ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("opening") / "linear.onnx"
    attnexport.convert(program, None, path)
    return path


@pytest.fixture(scope="module")
def half(program: torch.export.ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same layer in half precision throughout, inputs and outputs included, under other names."""
    path = tmp_path_factory.mktemp("opening") / "half.onnx"
    weight, bias = (value.detach().half().numpy() for value in program.state_dict.values())
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["pixels", "w", "b"], ["scores"], transB=1)],
        "half",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT16, [3, WIDTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT16, [3, 4])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("text", "kind", "argument"),
    [
        ("model.onnx", "ort", "model.onnx"),
        ("model", "ort", "model"),
        ("ort:model.engine", "ort", "model.engine"),
        ("ort-cuda:a/model.onnx", "ort-cuda", "a/model.onnx"),
        ("model.engine", "engine", "model.engine"),
        ("model.plan", "engine", "model.plan"),
        ("engine:model.bin", "engine", "model.bin"),
        ("out.npz", "recorded", "out.npz"),
        ("recorded:out", "recorded", "out"),
        ("torch:bf16", "torch", "bf16"),
        ("odd:name.onnx", "ort", "odd:name.onnx"),
    ],
)
def test_text_says_what_a_contender_is(text, kind, argument):
    parsed = parse_contender(text)
    assert (parsed.kind, parsed.argument) == (kind, argument)
    assert parsed.path == (None if kind == "torch" else Path(argument))


def test_folder_is_recorded_outputs(tmp_path):
    assert parse_contender(str(tmp_path)).kind == "recorded"


def test_torch_at_no_precision():
    with pytest.raises(InputError, match="torch:int8: expected one of fp64, fp32, fp16, bf16, given 'int8'"):
        parse_contender("torch:int8")


def opened(program, text, **options):
    return Opener(TorchRuns(Model(program)), **options).open(parse_contender(str(text)))


def test_precision_is_that_of_the_weights(program, converted, half):
    assert (precision_of(read_model(converted)), precision_of(read_model(half))) == ("fp32", "fp16")
    assert opened(program, half).facts.precision_source == "most weights"
    assert opened(program, half, precision="bf16").facts.precision == "bf16"
    assert opened(program, "torch:fp16", precision="fp32").facts.precision == "fp32"


def test_half_file_is_fed_half_and_held_to_half(program, half):
    """Inputs are given in the file's type, and its error is of half precision."""
    batch = Batch("one", (torch.randn(3, WIDTH),))
    result = check(TorchRuns(Model(program)), [opened(program, half)], [batch]).contenders[0]
    (kind,) = result.outputs[0].kinds
    assert result.passed
    assert 1e-5 < kind.largest_error <= kind.budget.limit < 1e-1
    assert len(result.notes) == 2
    assert result.notes[0] == "inputs were matched by position: input in the model, pixels in the file"
    strict = check(TorchRuns(Model(program)), [opened(program, half, precision="fp32")], [batch]).contenders[0]
    assert not strict.passed


def test_facts_say_what_ran(program, converted):
    facts = opened(program, f"ort:{converted}").facts
    assert facts.name == f"ort:{converted}"
    assert facts.runtime == f"ONNX Runtime {onnxruntime.__version__} (CPU)"
    assert facts.path == str(converted)
    assert len(facts.sha256) == 64
    assert opened(program, "torch:bf16").facts.runtime == f"PyTorch {torch.__version__}"


def test_file_of_another_model_is_noted(program, converted):
    assert opened(program, converted).notes == ()
    other = torch.export.export(nn.Linear(WIDTH, 4).eval(), (torch.randn(3, WIDTH),))
    assert opened(other, converted).notes == (f"{converted} was converted from another model, or from other weights",)


@pytest.mark.parametrize("text", ["none.onnx", "none.engine", "recorded:none", "none.npz", "ort-cuda:none.onnx"])
def test_contender_that_is_not_there(program, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"none(\.\w+)?: no such file"):
        opened(program, text)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is there")
def test_onnx_runtime_without_cuda(program, converted):
    with pytest.raises(BackendError, match="CUDAExecutionProvider"):
        opened(program, f"ort-cuda:{converted}")


def test_torch_contender_runs_anew_each_time(program, tmp_path):
    """Repetitions say nothing when they come from a cache."""
    runs = TorchRuns(Model(program))
    contender = Opener(runs).open(parse_contender("torch:fp32"))
    batch = Batch("one", (torch.randn(3, WIDTH),))
    first = contender.outputs(batch)["output"]
    again = contender.outputs(batch)["output"]
    assert first is not again
    assert np.array_equal(first, again)
    assert runs.seconds == {}
