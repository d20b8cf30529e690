"""A NaN that a row depends on makes it NaN in the kernels, too, and no other row."""

from __future__ import annotations

import pytest
import torch

from attnexport.plugins.calling.library import Library
from tests.plugins.kernel_cases import FLOAT_TYPES
from tests.plugins.nan_cases import NanCase, is_selection, nan_cases, nan_fault

pytestmark = pytest.mark.slow

CASES = list(nan_cases())


CALLS = [pytest.param(broken, FLOAT_TYPES[at % 2], id=str(broken)) for at, broken in enumerate(CASES)]
HOPPER = [
    broken
    for broken in CASES
    if broken.case.sizes.rows >= 64
    and broken.case.op_type not in ("TopNAttention", "HadamardLinearAttention")
    and not is_selection(broken.case)
]


@pytest.mark.parametrize(("broken", "dtype"), CALLS)
def test_nan_reaches_the_rows_that_depend_on_it(broken: NanCase, dtype: torch.dtype, emulated_library: Library):
    assert nan_fault(broken, emulated_library.ops[broken.case.op_type], dtype) is None


@pytest.mark.parametrize("broken", HOPPER, ids=str)
def test_nan_reaches_them_on_hopper(broken: NanCase, emulated_library: Library, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATTNEXPORT_CPU_MAJOR", "9")
    assert nan_fault(broken, emulated_library.ops[broken.case.op_type], torch.float16) is None
