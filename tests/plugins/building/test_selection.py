"""--for: what models use decides what is instantiated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import attnexport
from attnexport.errors import InputError
from attnexport.plugins.building.selection import Selection, select_for

ALL = ("affine", "hla", "krause", "ssa", "topn")
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Converts a module of width 48 with a dynamic batch."""

    def save(name: str, module: nn.Module, dtype: torch.dtype = torch.float32) -> Path:
        path = tmp_path_factory.mktemp("selection") / f"{name}.onnx"
        torch.manual_seed(0)
        x = torch.randn(2, 300, 48, dtype=dtype)
        attnexport.convert(module.to(dtype).eval(), (x,), path, dynamic_shapes={"x": {0: "batch"}})
        return path

    return save


def test_everything_by_default():
    assert Selection(ALL).defines == [
        "-DATTNEXPORT_WITH_FLOAT32=1",
        "-DATTNEXPORT_WITH_FLOAT16=1",
        "-DATTNEXPORT_WITH_BFLOAT16=1",
        "-DATTNEXPORT_MAX_WIDTH=256",
        "-DATTNEXPORT_WITH_TOP_K=1",
    ]


def test_one_model(saved: Save):
    model = saved("affine", attnexport.AffineScaledAttention(dim=48, heads=4), torch.float16)
    selection = select_for([model], ALL)
    assert selection == Selection(("affine",), ("float16",), 12, top_k=False)
    assert selection.defines == [
        "-DATTNEXPORT_WITH_FLOAT32=0",
        "-DATTNEXPORT_WITH_FLOAT16=1",
        "-DATTNEXPORT_WITH_BFLOAT16=0",
        "-DATTNEXPORT_MAX_WIDTH=12",
        "-DATTNEXPORT_WITH_TOP_K=0",
    ]


def test_several_models_join(saved: Save):
    models = [
        saved("half", attnexport.KrauseAttention(dim=48, heads=2, window=8), torch.float16),
        saved("single", attnexport.TopNAttention(dim=48, heads=4, n=3)),
    ]
    assert select_for(models, ALL) == Selection(("krause", "topn"), ("float32", "float16"), 24, top_k=True)


def test_krause_with_a_selection_selects(saved: Save):
    model = saved("selecting", attnexport.KrauseAttention(dim=48, heads=2, top_k=8))
    assert select_for([model], ALL).top_k


def test_a_single_precision_file_gets_half_too(saved: Save):
    model = saved("single", attnexport.AffineScaledAttention(dim=48, heads=4))
    assert select_for([model], ALL).dtypes == ("float32", "float16")


def test_a_kernel_that_is_missing_is_a_note(saved: Save):
    models = [
        saved("one", attnexport.AffineScaledAttention(dim=48, heads=4)),
        saved("two", attnexport.TopNAttention(dim=48, heads=4, n=3)),
    ]
    selection = select_for(models, ("affine",))
    assert selection.kernels == ("affine",)
    assert "TopNAttention, which has no kernel" in selection.notes[0]
    with pytest.raises(InputError, match="expected operators that have kernels, given TopNAttention alone"):
        select_for(models[1:], ("affine",))


def test_float64_has_no_kernel(saved: Save):
    model = saved("double", attnexport.AffineScaledAttention(dim=48, heads=4), torch.float64)
    with pytest.raises(InputError, match="given float64 alone"):
        select_for([model], ALL)


def test_a_model_without_our_nodes(saved: Save):
    with pytest.raises(InputError, match=r"models: expected nodes of attnexport in .*linear\.onnx, given a model"):
        select_for([saved("linear", Plain())], ALL)


class Plain(nn.Module):
    """A model without attention."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x)
        return out
