"""TensorRT's calls of the plugins on a GPU, without TensorRT: python -m benchmarks.gpu.run_harness HARNESS LIBRARY.

HARNESS is the program that plugins/CMakeLists.txt builds with -D ATTNEXPORT_HARNESS=ON, LIBRARY the plugin library.
Every output is held to the float64 reference by the error budget.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from attnexport.plugins.calling.library import load_library
from tests.plugins.harness_plugin import CASES, Plugin
from tests.plugins.kernel_cases import FLOAT_TYPES, hold_to_reference


def main() -> int:
    """Prints one line a failed call; returns 1 when there was one."""
    program, library = Path(sys.argv[1]), Path(sys.argv[2])
    ops = load_library(library).ops
    failed = count = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            for dtype in FLOAT_TYPES:
                count += 1
                outcome = hold_to_reference(
                    case, Plugin(ops[case.op_type], program, "device", library, Path(folder)), dtype
                )
                if not outcome.good:
                    failed += 1
                    print(f"FAIL {case} {dtype}: error {outcome.error:.3g}, allowed {outcome.allowed:.3g}", flush=True)
    print(f"{torch.cuda.get_device_name()}: {count} calls through the adapter, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
