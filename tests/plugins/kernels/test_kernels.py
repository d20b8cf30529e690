"""The kernels, run on the CPU, against the float64 references.

ATTNEXPORT_EVERY_CASE=1 runs every case of kernel_cases.py in every type, not those alone that cover all paths.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Hashable, Iterator
from pathlib import Path

import pytest
import torch

from attnexport.plugins.calling.library import Library
from tests.plugins.kernel_cases import (
    FLOAT_TYPES,
    Case,
    Sizes,
    all_cases,
    hold_to_reference,
    make_arguments,
    run_kernel,
)
from tests.plugins.libraries import EMULATOR, emulator_flags

pytestmark = pytest.mark.slow

SHARED_MEMORY = {"SM 86, 89, 120": 99 << 10, "SM 80, 87": 163 << 10}


def paths_of(case: Case, dtype: torch.dtype) -> Iterator[Hashable]:
    """What a call goes through: its kernels, its visibility, its options."""
    s, options = case.sizes, case.options
    features = options.get("features", (s.width,))
    whole = all(width % 8 == 0 for width in (*features, s.value_width))
    widest = next(bound for bound in (64, 128, 256) if max(s.width, s.value_width) <= bound)
    rows = "none" if s.batch * s.rows == 0 else "few" if s.rows * s.heads // s.kv_heads <= 16 else "many"
    keys = "none" if s.keys == 0 else "split" if s.keys > 512 else "whole"
    wanted = options.get("n", options.get("top_k", 0))
    selects = 0 < wanted < s.keys
    grid = options.get("grid_height", 0) > 0
    yield "kernel", dtype == torch.float32, whole, widest, rows, keys, selects, grid, len(features)
    lengths = "none" if s.kv_lengths is None else "empty" if 0 in s.kv_lengths else "some"
    yield "visibility", s.causal, lengths, s.q_start is not None, selects, grid, options.get("window", 0)
    yield from options.items()


def covering_calls() -> list[tuple[Case, torch.dtype]]:
    """The same calls every time: those that take an operator and a type where none before them went."""
    calls = [(case, dtype) for case in all_cases() for dtype in FLOAT_TYPES]
    random.Random(0).shuffle(calls)
    if os.environ.get("ATTNEXPORT_EVERY_CASE") == "1":
        return calls
    seen: set[Hashable] = set()
    chosen = []
    for case, dtype in calls:
        paths = {(case.op_type, dtype, path) for path in paths_of(case, dtype)}
        if not paths <= seen:
            chosen.append((case, dtype))
            seen |= paths
    return chosen


def name_of(value: Case | torch.dtype) -> str:
    return str(value).removeprefix("torch.")


@pytest.mark.parametrize(("case", "dtype"), covering_calls(), ids=name_of)
def test_a_kernel_is_within_the_error_budget(case: Case, dtype: torch.dtype, emulated_library: Library):
    outcome = hold_to_reference(case, emulated_library.ops[case.op_type], dtype)
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"


WIDE = [case for case in all_cases(pairs=()) if case.sizes.width in (128, 256)]
SEVERAL_TILES = Sizes(2, 1, rows=70, keys=200, width=64, value_width=64, causal=True, kv_lengths=(200, 90))
NARROW = [
    Case("KrauseAttention", SEVERAL_TILES, {}),
    Case("KrauseAttention", SEVERAL_TILES, {"window": 40, "top_k": 5}),
    Case("AffineScaledAttention", SEVERAL_TILES, {}),
    Case("SelectiveSynchronizationAttention", SEVERAL_TILES, {}),
]


@pytest.mark.parametrize("device", SHARED_MEMORY)
@pytest.mark.parametrize("case", WIDE + NARROW, ids=name_of)
def test_a_device_with_less_shared_memory_is_served(
    case: Case, device: str, emulated_library: Library, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATTNEXPORT_CPU_SHARED", str(SHARED_MEMORY[device]))
    for dtype in FLOAT_TYPES:
        assert hold_to_reference(case, emulated_library.ops[case.op_type], dtype).good, dtype


LONG = [
    Case("KrauseAttention", Sizes(1, 1, rows=40, keys=600, batch=1), {"top_k": 7}),
    Case("AffineScaledAttention", Sizes(2, 1, rows=3, keys=700, width=40, value_width=72, causal=True)),
    Case("SelectiveSynchronizationAttention", Sizes(rows=70, keys=90, causal=True), {"top_k": 3}),
    Case("TopNAttention", Sizes(1, 1, rows=2, keys=700, batch=1), {"n": 5}),
    Case("HadamardLinearAttention", Sizes(rows=150, keys=150, causal=True), {"features": (8, 16)}),
]


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=name_of)
@pytest.mark.parametrize("case", LONG, ids=name_of)
def test_the_order_of_threads_does_not_matter(
    case: Case, dtype: torch.dtype, emulated_library: Library, monkeypatch: pytest.MonkeyPatch
):
    results = []
    for seed in ("1", "2"):
        monkeypatch.setenv("ATTNEXPORT_CPU_SEED", seed)
        results.append(run_kernel(emulated_library.ops[case.op_type], make_arguments(case, dtype)))
    assert torch.equal(*results)


@pytest.mark.needs("g++", "nvcc")
def test_the_emulator_computes_what_it_says_and_catches_faulty_kernels(tmp_path: Path):
    sources = [EMULATOR / "selftest.cu", *sorted(EMULATOR.glob("*.cpp"))]
    command = ["g++", *emulator_flags(), *map(str, sources), "-o", str(tmp_path / "selftest")]
    subprocess.run(command, check=True)
    done = subprocess.run([str(tmp_path / "selftest")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
