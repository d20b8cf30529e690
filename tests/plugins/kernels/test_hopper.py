"""The kernels of Hopper's own instructions, run on the CPU, against the float64 references."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from attnexport.plugins.calling.library import Library
from tests.plugins.kernel_cases import Case, Sizes, hold_to_reference, make_arguments, run_kernel, truth

pytestmark = pytest.mark.slow

DTYPES = (torch.float16, torch.bfloat16)
SIZES = (
    Sizes(heads=2, kv_heads=1, rows=70, keys=300, batch=1),
    Sizes(heads=2, kv_heads=2, rows=200, keys=200, causal=True, batch=1),
    Sizes(heads=1, kv_heads=1, rows=200, keys=260, causal=True, kv_lengths=(260, 90), q_start=(60, -30)),
    Sizes(heads=1, kv_heads=1, rows=64, keys=130, kv_lengths=(0, 129)),
)
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("AffineScaledAttention", {}),
    ("AffineScaledAttention", {"scale": -0.7}),
    ("KrauseAttention", {}),
    ("KrauseAttention", {"window": 50}),
    ("SelectiveSynchronizationAttention", {}),
)


def cases(sizes: tuple[Sizes, ...], widths: tuple[tuple[int, int], ...]) -> list[Case]:
    """Every operator at these sizes and widths of keys and values."""
    return [
        Case(op_type, replace(given, width=width, value_width=value_width), options)
        for (op_type, options), given, (width, value_width) in itertools.product(OPTIONS, sizes, widths)
    ]


WHOLE = cases(SIZES, ((64, 64), (128, 128)))
PARTIAL = cases(SIZES[:2], ((24, 40), (72, 16)))
CALLS = [*itertools.product(WHOLE, DTYPES), *itertools.product(PARTIAL, DTYPES[:1])]
# Selections go there where rows and keys are many.
MANY = Sizes(heads=22, kv_heads=22, rows=130, keys=1540, batch=1, width=72, value_width=40)
SELECTIONS = (
    Case("TopNAttention", replace(MANY, width=128, value_width=128, causal=True), {"n": 64}),
    Case("TopNAttention", replace(MANY, kv_lengths=(1539,)), {"n": 20, "renormalize": False}),
)


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulated device has compute capability 9.0."""
    monkeypatch.setenv("ATTNEXPORT_CPU_MAJOR", "9")


@pytest.mark.usefixtures("hopper")
@pytest.mark.parametrize(("case", "dtype"), CALLS, ids=str)
def test_a_hopper_kernel_is_within_the_error_budget(case: Case, dtype: torch.dtype, emulated_library: Library):
    outcome = hold_to_reference(case, emulated_library.ops[case.op_type], dtype)
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"


@pytest.mark.parametrize("case", SELECTIONS, ids=str)
def test_a_selection_on_hopper_is_its_own_and_within_the_error_budget(
    case: Case, emulated_library: Library, monkeypatch: pytest.MonkeyPatch
):
    op = emulated_library.ops[case.op_type]
    portable = run_kernel(op, make_arguments(case, torch.float16))
    monkeypatch.setenv("ATTNEXPORT_CPU_MAJOR", "9")
    arguments = make_arguments(case, torch.float16)
    out = run_kernel(op, arguments)
    assert not torch.equal(out, portable)
    outcome = truth(case, torch.float16, arguments).hold(out)
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"


@pytest.mark.usefixtures("hopper")
@pytest.mark.parametrize("case", WHOLE[:2] + PARTIAL[-2:], ids=str)
def test_the_order_of_warps_does_not_matter(case: Case, emulated_library: Library, monkeypatch: pytest.MonkeyPatch):
    results = []
    for seed in ("1", "2", "3"):
        monkeypatch.setenv("ATTNEXPORT_CPU_SEED", seed)
        results.append(run_kernel(emulated_library.ops[case.op_type], make_arguments(case, torch.float16)))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("case", [WHOLE[0], PARTIAL[-1]], ids=str)
def test_only_hopper_is_given_them(case: Case, emulated_library: Library, monkeypatch: pytest.MonkeyPatch):
    op, arguments = emulated_library.ops[case.op_type], make_arguments(case, torch.float16)
    portable = run_kernel(op, arguments)
    results = {}
    for major in ("8", "9", "10"):
        monkeypatch.setenv("ATTNEXPORT_CPU_MAJOR", major)
        results[major] = run_kernel(op, arguments)
    # The kernels add in other orders.
    assert torch.equal(results["8"], portable)
    assert torch.equal(results["10"], portable)
    assert not torch.equal(results["9"], portable)
