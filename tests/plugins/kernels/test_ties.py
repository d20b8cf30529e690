"""Among keys of equal score the kernels select the lower index, as the references do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnexport.plugins.calling.library import Library
from attnexport.variants.registry import all_variants
from tests.plugins.kernel_cases import FLOAT_TYPES, Arguments, run_kernel

pytestmark = pytest.mark.slow

VARIANTS = {variant.name: variant for variant in all_variants()}
GRID = {"grid_height": 0, "grid_width": 0, "grid_radius": 0, "grid_metric": "chebyshev", "grid_prefix": 0}


def options_of(name: str, count: int) -> Arguments:
    """Options under which integers make scores that every type holds exactly, and weights that none rounds to zero."""
    if name == "krause":
        return {"sigma": torch.tensor(4.0), "window": 0, "top_k": count, **GRID, "causal": False}
    return {"n": count, "scale": 0.125, "renormalize": True, "causal": False}


def integers(seed: int, largest: int, *shape: int) -> Tensor:
    return torch.randint(-largest, largest + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("largest", [0, 1], ids=["all-tie", "many-tie"])
@pytest.mark.parametrize(
    ("rows", "keys", "count", "value_width"),
    [(1, 40, 5, 64), (20, 40, 1, 64), (20, 300, 33, 64), (20, 300, 299, 128), (1, 700, 5, 64), (20, 700, 300, 256)],
)
@pytest.mark.parametrize("width", [8, 12])
@pytest.mark.parametrize("name", ["krause", "topn"])
def test_the_lower_index_is_selected(
    name: str,
    width: int,
    rows: int,
    keys: int,
    count: int,
    value_width: int,
    largest: int,
    dtype: torch.dtype,
    emulated_library: Library,
):
    variant = VARIANTS[name]
    given = {"q": integers(1, 1, 1, 2, rows, width), "k": integers(2, largest, 1, 1, keys, width)}
    given |= options_of(name, count)
    weights, expected = [], []
    # The values of a run are the unit vectors of some of the keys: its output is these keys' weights.
    for first in range(0, keys, value_width):
        units = torch.eye(keys)[:, first : first + value_width]
        call = {**given, "v": torch.nn.functional.pad(units, (0, value_width - units.shape[1]))[None, None]}
        rounded = {key: value.to(dtype) if isinstance(value, Tensor) else value for key, value in call.items()}
        wide = {key: value.double() if isinstance(value, Tensor) else value for key, value in call.items()}
        weights.append(run_kernel(emulated_library.ops[variant.op_type], rounded))
        expected.append(variant.reference(**wide))
    selected = torch.cat(expected, -1) > 0
    assert (selected.sum(-1) == count).all()
    assert torch.equal(torch.cat(weights, -1) > 0, selected)
