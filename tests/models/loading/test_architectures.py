"""What honest models are made of passes the audit, exported and decomposed, and computes what it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils import _pytree as pytree

from attnexport.models.loading.sources import load_model
from tests.models.loading.architectures import ARCHITECTURES, Model


def values(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    with torch.no_grad():
        return list(pytree.tree_leaves(module(*pytree.tree_map(torch.clone, inputs))))


@pytest.mark.parametrize("decomposed", [False, True], ids=["exported", "decomposed"])
@pytest.mark.parametrize("make", ARCHITECTURES, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore")
def test_an_honest_model_loads(make: Callable[[], Model], decomposed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, inputs = make()
    program = torch.export.export(module.eval(), inputs, strict=False)
    if decomposed:
        program = program.run_decompositions()
    path = tmp_path / "model.pt2"
    torch.export.save(program, str(path))
    loaded = load_model(path).program
    assert loaded is not None
    expected = values(program.module(), inputs)
    for one, other in zip(values(loaded.module(), inputs), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
