"""A file that ONNX Runtime has no kernels for runs in onnx's own evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.backends.onnxruntime_sessions import BY_REFERENCE
from attnexport.cli import main

WIDTH = 16


class Doubles(nn.Module):
    """Attention between operators of which ONNX Runtime has no float64 kernels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = attnexport.HadamardLinearAttention(WIDTH, 2, features=4)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.mix(nn.functional.gelu(self.attention(x)).mT).mT
        return nn.functional.leaky_relu(mixed, 0.25)


@pytest.fixture(scope="module")
def doubles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A float64 model as a .pt2 and its file."""
    folder = tmp_path_factory.mktemp("doubles")
    model, args = Doubles().double().eval(), (torch.randn(2, 9, WIDTH, dtype=torch.float64),)
    dynamic = {"x": {0: "batch", 1: "tokens"}}
    attnexport.save(model, folder / "m.pt2", args=args, dynamic_shapes=dynamic)
    assert len(attnexport.convert(model, args, folder / "m.onnx", dynamic_shapes=dynamic).verified) == 3
    return folder / "m.pt2", folder / "m.onnx"


def test_values_are_those_of_double_precision(doubles: tuple[Path, Path]):
    backend = OnnxRuntimeBackend(doubles[1])
    assert BY_REFERENCE in backend.description
    assert [str(info) for info in backend.inputs] == [f"x (batch, tokens, {WIDTH}) float64"]
    x = torch.randn(3, 7, WIDTH, dtype=torch.float64)
    expected = Doubles().double().eval()(x).detach().numpy()
    (given,) = backend.run({"x": x.numpy()}).values()
    # Attributes, as eps, are float32 in ONNX.
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_the_check_judges_it(doubles: tuple[Path, Path], capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", *map(str, doubles), "--kinds", "normal,length-1", "--seeds", "1"])
    assert ended.value.code in (None, 0), capsys.readouterr().err
