"""Affine-scaled attention adds the sum of the values that each row sees, and keeps little in memory for it."""

from __future__ import annotations

import pytest
import torch

from attnexport.plugins.calling.interface import Dtype
from attnexport.plugins.calling.library import Library
from attnexport.plugins.calling.operators import Array, Call
from tests.plugins.kernel_cases import Case, Sizes, hold_to_reference

pytestmark = pytest.mark.slow

AFFINE = "AffineScaledAttention"
SIZES = (
    Sizes(6, 2, rows=50, keys=200, causal=True, q_start=(3, 100)),
    Sizes(1, 1, rows=300, keys=333, causal=True, kv_lengths=(260, 320), q_start=(17, 33)),
    Sizes(1, 1, rows=130, keys=192, causal=True, kv_lengths=(64, 192), q_start=(70, 120)),
)


@pytest.mark.parametrize("major", ["8", "9"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_rows_may_end_anywhere_among_the_keys(
    sizes: Sizes, major: str, emulated_library: Library, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATTNEXPORT_CPU_MAJOR", major)
    assert hold_to_reference(Case(AFFINE, sizes), emulated_library.ops[AFFINE], torch.float16).good


def test_what_causal_rows_add_to_the_workspace_is_at_most_a_twentieth_of_the_values(emulated_library: Library):
    op, tokens, width = emulated_library.ops[AFFINE], 8192, 128
    queries, rows = Array(0, Dtype.FLOAT16, (1, 8, tokens, width)), Array(0, Dtype.FLOAT16, (1, 8, tokens))
    size = {
        causal: op.workspace(Call([queries, queries, queries, rows, rows], {"scale": 0.1, "causal": causal}))
        for causal in (0, 1)
    }
    assert size[1] - size[0] <= 8 * tokens * width * 2 / 20
