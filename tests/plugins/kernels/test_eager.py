"""The operators through the kernels, emulated and on a GPU: within twice PyTorch's own error, plus the floor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from attnexport.plugins import KernelWarning, build, load_library, using
from attnexport.plugins.calling import accelerator
from attnexport.plugins.calling.library import Library
from attnexport.plugins.calling.operators import Op
from attnexport.variants.registry import variant_of_torch_op
from tests.tools import require
from tests.variants.cases import VISIBILITIES, Case, Shape, each_case, error, map_tensors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Library]:
    """A device and a library of kernels for it."""
    if request.param == "cpu":
        return "cpu", request.getfixturevalue("emulated_library")
    for tool in ("a GPU", "g++", "nvcc"):
        require(tool)
    result = build(tmp_path_factory.mktemp("cuda"), api="none")
    return "cuda", load_library(result.libraries[0].path)


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_kernels_are_within_the_error_budget(
    case: Case, dtype: torch.dtype, kernels: tuple[str, Library], monkeypatch: pytest.MonkeyPatch
):
    device, library = kernels
    variant = variant_of_torch_op(case.torch_op)
    assert variant is not None
    shape = case.fit(Shape())
    for rule in VISIBILITIES.values():
        inputs = map_tensors(lambda tensor: tensor.to(device), case.inputs(shape, dtype))
        visibility = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in rule(shape).items()
        }
        with using(None):
            exact = case(map_tensors(torch.Tensor.double, inputs), **visibility)
            own = case(inputs, **visibility)
        monkeypatch.setattr(accelerator, "_warned", set())
        missing = _missing(library.ops[variant.op_type], case.options | visibility)
        with using(library, device_type=device), warnings.catch_warnings():
            warnings.simplefilter("error", KernelWarning)
            if missing:
                with pytest.raises(KernelWarning, match=f"has no {missing} in {variant.op_type}"):
                    case(inputs, **visibility)
                continue
            out = case(inputs, **visibility)
        floor = variant.floor.at(dtype) * float(exact.abs().max())
        assert error(out, exact) <= 2 * error(own, exact) + floor


def _missing(op: Op, given: Mapping[str, Any]) -> str:
    """A pattern of what is given and no operator of the library takes; empty where it takes all."""
    known = {item.name for item in op.inputs} | {item.name for item in op.attributes}
    later = [name for name in ("kv_start", "bias", "prefix") if name in given and name not in known]
    return f"({'|'.join(later)})" if later else ""
