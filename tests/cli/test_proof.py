"""A conversion that went wrong says where, and keeps the file if asked to; one that could not be run does not pass."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import attnexport
import attnexport.graph.translating
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.errors import BackendError, ConversionError
from attnexport.graph import nodes
from tests.cli.commands import Run
from tests.conversion.models import WIDTH, Stack, example


def wrong_square(given):
    """A translation of x ** 2 that gives 3 x."""
    from onnxscript import opset18

    return opset18.Mul(given, opset18.CastLike(opset18.Constant(value_float=3.0), given))  # type: ignore[type-var]


class Squares(nn.Module):
    """Squares in the second of two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), Square()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.square(x) - 1


@pytest.fixture
def mistranslated(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.square is translated wrongly."""
    table = {**nodes.translation_table(), torch.ops.aten.square.default: wrong_square}
    monkeypatch.setattr(attnexport.graph.translating, "translation_table", lambda: table)


@pytest.mark.usefixtures("mistranslated")
def test_operator_and_module_that_are_wrong_first_are_named(tmp_path: Path):
    with pytest.raises(ConversionError) as failed:
        attnexport.convert(Squares(), (example(),), tmp_path / "m.onnx")
    line = str(failed.value)
    assert line.startswith("output at the example shape: expected PyTorch's values, given a relative L2 error")
    assert "; first off is second (aten.square, tensor square): largest error " in line
    assert "\n" not in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("mistranslated")
def test_wrong_file_is_kept_where_it_is_asked_for(tmp_path: Path, run: Run):
    attnexport.save(Squares(), tmp_path / "m.pt2", args=example())
    command = ("convert", tmp_path / "m.pt2", "-o", tmp_path / "m.onnx", "--trust-model")
    result = run(*command, "--keep-failed", tmp_path / "kept.onnx")
    assert result.code == 2
    assert f"; the file is kept as {tmp_path / 'kept.onnx'}" in result.err
    assert {path.name for path in tmp_path.iterdir()} == {"m.pt2", "kept.onnx"}
    onnx.checker.check_model(str(tmp_path / "kept.onnx"))
    checked = run("check", tmp_path / "m.pt2", tmp_path / "kept.onnx", "--kinds", "normal", "--bisect", "--trust-model")
    assert checked.code == 1
    assert "layer second (aten.square" in checked.err


def test_file_that_cannot_be_run_is_an_error_unless_that_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = Stack(attnexport.TopNAttention(WIDTH, 2, 3)).eval()

    def refuses(self: OnnxRuntimeBackend, inputs: object) -> None:
        raise BackendError(f"{self.path}: NOT_IMPLEMENTED: no kernel for this type")

    monkeypatch.setattr(OnnxRuntimeBackend, "run", refuses)
    with pytest.raises(ConversionError, match=r"^the file is not proven, not run: NOT_IMPLEMENTED.*unproven=True"):
        attnexport.convert(model, (example(),), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
    result = attnexport.convert(model, (example(),), tmp_path / "m.onnx", unproven=True)
    assert result.verified == ()
    assert result.notes[-1].startswith("not run: NOT_IMPLEMENTED")


def test_program_without_example_inputs_is_not_proven(tmp_path: Path):
    program = torch.export.export(Stack(attnexport.TopNAttention(WIDTH, 2, 3)).eval(), (example(),))
    program.example_inputs = None
    with pytest.raises(ConversionError, match="not run: the program carries no example inputs"):
        attnexport.convert(program, None, tmp_path / "m.onnx")
