"""The precision of a model and of a file, by one rule wherever it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import attnexport
from attnexport.accuracy.contenders.opening import Opener
from attnexport.accuracy.contenders.texts import parse_contender
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.graph.file_precision import precision_of
from attnexport.graph.inspection import read_model
from attnexport.models.precisions import own_precision
from tests.faults.edits import through_half

TOKENS, WIDTH = 5, 16


class Mixed(nn.Module):
    """Top-N attention in one type before a head, four times as wide, in another."""

    def __init__(self, attention: torch.dtype, head: torch.dtype) -> None:
        super().__init__()
        self.embed = nn.Linear(WIDTH, WIDTH).to(head)
        self.head = nn.Linear(WIDTH, 4 * WIDTH).to(head)
        self.attention, self.dtype = attention, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.embed(x.to(self.dtype)).to(self.attention)[:, None]
        return self.head(attnexport.top_n_attention(q, q, q, n=3)[:, 0].to(self.dtype)).float()


HALF, FULL = torch.float16, torch.float32


@pytest.mark.parametrize(
    ("attention", "head", "precision"),
    [
        (FULL, FULL, "fp32"),
        (HALF, FULL, "fp16"),
        (FULL, HALF, "fp16"),
        (torch.bfloat16, HALF, "bf16"),
        (torch.float64, torch.float64, "fp64"),
    ],
)
def test_every_command_names_one_precision_of_a_mixed_file(
    attention: torch.dtype, head: torch.dtype, precision: str, tmp_path: Path
):
    torch.manual_seed(0)
    program = torch.export.export(Mixed(attention, head).eval(), (torch.randn(2, TOKENS, WIDTH),))
    path = tmp_path / "mixed.onnx"
    attnexport.convert(program, None, path)
    model = attnexport.Model(program)
    assert model.precision == precision
    assert Opener(TorchRuns(model)).open(parse_contender(str(path))).facts.precision == precision
    assert attnexport.inspect(path).precision == precision
    np.savez(tmp_path / "x.npz", x=np.ones((2, TOKENS, WIDTH), np.float32))
    assert attnexport.run(path, tmp_path / "x.npz").report.precision == precision


def test_a_stray_cast_is_no_precision(tmp_path: Path):
    program = torch.export.export(Mixed(FULL, FULL).eval(), (torch.randn(2, TOKENS, WIDTH),))
    attnexport.convert(program, None, tmp_path / "whole.onnx")
    model = read_model(tmp_path / "whole.onnx")
    through_half(model, "head")
    assert precision_of(model) == "fp32"


def test_own_precision_is_that_of_most_parameters():
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, bias=False).half()).eval()
    assert own_precision(torch.export.export(Cast(mixed), (torch.randn(2, 4),))) == "fp32"
    assert own_precision(torch.export.export(nn.ReLU(), (torch.randn(2, 4).bfloat16(),))) == "bf16"
    assert own_precision(torch.export.export(nn.Identity(), (torch.ones(2, dtype=torch.int64),))) == "fp32"


class Cast(nn.Module):
    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[1](self.layers[0](x).half())
