"""Kernels against the float64 reference on a GPU: python -m benchmarks.gpu.check_kernels LIBRARY [--quick].

The list takes longer to check than to run: --part 1 4 to --part 4 4, side by side, are the whole of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Mapping

import torch

from attnexport.plugins.calling.library import load_library
from attnexport.plugins.calling.operators import Op
from tests.plugins.kernel_cases import (
    FLOAT_TYPES,
    Case,
    Sizes,
    all_cases,
    hold_to_reference,
    make_arguments,
    run_kernel,
)
from tests.plugins.nan_cases import nan_cases, nan_fault

PAIRS = ((1, 1), (7, 63), (63, 7), (127, 500), (500, 127), (256, 256), (1, 4096), (3, 1000))


def large_cases() -> list[Case]:
    """Sizes at which the device is full, keys are split and selections take several passes."""
    full = Sizes(4, 2, rows=1000, keys=1500, width=64, value_width=64)
    causal = Sizes(4, 4, rows=1031, keys=1031, width=128, value_width=128, causal=True, kv_lengths=(1031, 700))
    decode = Sizes(8, 2, rows=1, keys=8192, width=128, value_width=128, kv_lengths=(8192, 5000), causal=True,
                   q_start=(8191, 4999))  # fmt: skip
    wide = Sizes(2, 1, rows=300, keys=700, width=128, value_width=128, kv_lengths=(700, 130))
    long = Sizes(8, 4, rows=600, keys=2500, width=64, value_width=64, causal=True, kv_lengths=(2500, 1700))
    options = {
        "KrauseAttention": ({}, {"window": 256}, {"window": 256, "top_k": 64}, {"top_k": 100}),
        "AffineScaledAttention": ({}, {"scale": -0.7}),
        "SelectiveSynchronizationAttention": ({}, {"top_k": 64}),
        "TopNAttention": ({"n": 64}, {"n": 128}, {"n": 192}, {"n": 700}, {"n": 64, "renormalize": False}),
        "HadamardLinearAttention": ({"features": (32, 32)}, {"features": (16, 16)}),
    }
    return [
        Case(op_type, sizes, chosen)
        for op_type in options
        for sizes in (full, causal, wide, decode, long)
        for chosen in options[op_type]
    ]


def two_runs_agree(case: Case, op: Op, dtype: torch.dtype) -> bool:
    """Whether equal inputs give equal bits."""
    arguments = make_arguments(case, dtype, "cuda")
    return torch.equal(run_kernel(op, arguments).view(torch.uint8), run_kernel(op, arguments).view(torch.uint8))


def check_nan(ops: Mapping[str, Op], part: slice) -> int:
    """Prints the calls with a NaN that a kernel does not hand on as the reference does; returns how many."""
    calls = [(broken, dtype) for broken in nan_cases() if broken.case.op_type in ops for dtype in FLOAT_TYPES][part]
    faults = [(broken, dtype, nan_fault(broken, ops[broken.case.op_type], dtype, "cuda")) for broken, dtype in calls]
    found = [f"FAIL {broken} {dtype}: {fault}" for broken, dtype, fault in faults if fault is not None]
    print(*found, f"NaN: {len(calls)} calls, {len(found)} failed", sep="\n", flush=True)
    return len(found)


def main() -> int:
    """Prints failures and the worst share of the budget per operator and type; returns 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("--quick", action="store_true", help="every seventh of the small cases")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop beginning cases after this long")
    parser.add_argument("--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"), help="every N-th, from I on")
    given = parser.parse_args()
    part = slice(given.part[0] - 1, None, given.part[1])
    ops = load_library(given.library).ops
    small = all_cases(PAIRS)
    cases = large_cases() + (small[::7] if given.quick else small)
    cases = [case for case in cases if case.op_type in ops][part]
    worst: dict[tuple[str, torch.dtype], float] = defaultdict(float)
    failed = count = skipped = 0
    failed += check_nan(ops, part)
    start = time.perf_counter()
    for case in cases:
        if time.perf_counter() - start > given.seconds:
            skipped += len(FLOAT_TYPES)
            continue
        for dtype in FLOAT_TYPES:
            outcome = hold_to_reference(case, ops[case.op_type], dtype, "cuda")
            count += 1
            if outcome.allowed:
                worst[case.op_type, dtype] = max(worst[case.op_type, dtype], outcome.error / outcome.allowed)
            if not outcome.good or not two_runs_agree(case, ops[case.op_type], dtype):
                failed += 1
                print(f"FAIL {case} {dtype}: error {outcome.error:.3g}, allowed {outcome.allowed:.3g}", flush=True)
    print(f"{torch.cuda.get_device_name()}: {count} cases, {failed} failed, {skipped} not run")
    for (op_type, dtype), share in worst.items():
        print(f"  {op_type} {str(dtype).removeprefix('torch.')}: worst share of the budget {share:.2f}")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
