"""Launches every kind of kernel once on small inputs, for compute-sanitizer to watch:

compute-sanitizer --tool memcheck python -m benchmarks.gpu.launch_small LIBRARY
compute-sanitizer --tool racecheck python -m benchmarks.gpu.launch_small LIBRARY
"""

from __future__ import annotations

import sys

import torch

from attnexport.plugins.calling.library import load_library
from tests.plugins.kernel_cases import Case, Sizes, make_arguments, run_kernel

SIZES = (
    Sizes(heads=2, kv_heads=1, rows=70, keys=150, width=64, value_width=64, causal=True, kv_lengths=(150, 40)),
    Sizes(heads=2, kv_heads=2, rows=40, keys=70, width=128, value_width=96, batch=1),
    Sizes(heads=2, kv_heads=1, rows=1, keys=700, width=64, value_width=64, batch=1),
    Sizes(heads=2, kv_heads=1, rows=200, keys=260, width=128, value_width=128, causal=True, kv_lengths=(260, 40)),
    Sizes(heads=1, kv_heads=1, rows=390, keys=400, width=64, value_width=64),
    Sizes(heads=2, kv_heads=2, rows=20, keys=30, width=32, value_width=32, kv_lengths=(0, 30)),
)
OPTIONS = {
    "KrauseAttention": ({}, {"window": 30}, {"top_k": 6}),
    "AffineScaledAttention": ({},),
    "SelectiveSynchronizationAttention": ({}, {"top_k": 6}),
    "TopNAttention": ({"n": 6},),
    "HadamardLinearAttention": ({"features": (16, 16)},),
}


def main() -> None:
    """Prints how many calls were launched."""
    ops, count = load_library(sys.argv[1]).ops, 0
    for op_type, options in OPTIONS.items():
        for sizes in SIZES:
            for option in options:
                for dtype in (torch.float16, torch.float32):
                    run_kernel(ops[op_type], make_arguments(Case(op_type, sizes, option), dtype, "cuda"))
                    count += 1
    torch.cuda.synchronize()
    print(f"{count} calls")


if __name__ == "__main__":
    main()
