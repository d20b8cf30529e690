"""Models that no file can be held to are refused by their cause, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnexport
from attnexport.errors import ConversionError
from attnexport.graph.corrections import refuse_wrong
from attnexport.models.fitness import refuse_unfit
from attnexport.models.model import Model


class Called(nn.Module):
    """A layer inside, so that there is a module to name."""

    def __init__(self, function) -> None:
        super().__init__()
        self.noise = Inside(function)

    def forward(self, x: Tensor) -> Tensor:
        return self.noise(x)


class Inside(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def program(function, x: Tensor | None = None) -> torch.export.ExportedProgram:
    return torch.export.export(Called(function).eval(), (torch.randn(3, 4) if x is None else x,), strict=False)


DRAWS = {
    "aten.dropout": lambda x: F.dropout(x, 0.5, training=True),
    "aten.alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "aten.rrelu": lambda x: F.rrelu(x, training=True),
    "aten.randn_like": lambda x: x + torch.randn_like(x),
    "aten.rand": lambda x: x + torch.rand(4),
    "aten.bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    "aten.multinomial": lambda x: torch.multinomial(x.softmax(-1), 1),
    "aten.normal_": lambda x: x + torch.empty(4).normal_(),
    "aten.scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1),
}


@pytest.mark.parametrize("operator", DRAWS)
def test_operator_that_draws_is_named_with_its_module(operator):
    with pytest.raises(ConversionError, match=rf"^noise \({operator}\S*\): draws random numbers"):
        refuse_unfit(Model(program(DRAWS[operator])))


QUIET = {
    "dropout at inference": lambda x: F.dropout(x, 0.5, training=False),
    "dropout of nothing": lambda x: F.dropout(x, 0.0, training=True),
    "rrelu at inference": lambda x: F.rrelu(x, training=False),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "numbers that nobody uses": lambda x: (torch.rand(4), x * 2)[1],
}


@pytest.mark.parametrize("case", QUIET)
def test_operator_that_does_not_draw_is_taken(case):
    refuse_unfit(Model(program(QUIET[case])))


def test_recurrent_layer_with_dropout_at_inference_is_taken():
    model = nn.LSTM(4, 4, num_layers=2, dropout=0.5).eval()
    refuse_unfit(Model(torch.export.export(model, (torch.randn(5, 2, 4),))))


def test_drawing_inside_a_branch_is_named():
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, torch.rand_like, torch.clone, (x,))

    with pytest.raises(ConversionError, match="draws random numbers"):
        refuse_unfit(Model(torch.export.export(Branch(), (torch.randn(3, 4),))))


def test_complex_output_is_refused_by_name(tmp_path: Path):
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"size": x.sum(), "spectrum": torch.view_as_complex(x.reshape(-1, 2))}

    with pytest.raises(ConversionError, match=r"output spectrum: is complex.*view_as_real"):
        attnexport.convert(Spectrum(), (torch.randn(4),), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_complex_input_is_refused_by_name():
    given = program(lambda x: x.abs(), torch.randn(3, dtype=torch.complex64))
    with pytest.raises(ConversionError, match=r"input x: is complex.*view_as_complex"):
        refuse_unfit(Model(given))


def test_complex_weights_inside_are_converted(tmp_path: Path):
    class Turns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn = nn.Parameter(torch.polar(torch.ones(4), torch.arange(4.0)))

        def forward(self, x: Tensor) -> Tensor:
            return torch.view_as_real(torch.view_as_complex(x.reshape(3, 4, 2)) * self.turn).flatten(1)

    assert attnexport.convert(Turns(), (torch.randn(3, 8),), tmp_path / "m.onnx").verified


WRONG = {
    "aten.scatter_reduce": lambda x: x.scatter_reduce(0, torch.zeros(3, 4, dtype=torch.long), x, "mean"),
    "aten.avg_pool2d": lambda x: F.avg_pool2d(x[None], 2, divisor_override=3),
}


@pytest.mark.parametrize("operator", WRONG)
def test_what_onnx_would_compute_otherwise_is_refused_with_the_operator(operator):
    with pytest.raises(ConversionError, match=rf"^noise \({operator}\): ONNX"):
        refuse_wrong(program(WRONG[operator]))
    refuse_wrong(program(lambda x: F.avg_pool2d(x[None], 2)))
