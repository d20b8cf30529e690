"""TensorRT's calls of the plugins on a GPU, without TensorRT: python -m benchmarks.gpu.run_harness HARNESS LIBRARY.

HARNESS is the program that plugins/CMakeLists.txt builds with -D ATTNEXPORT_HARNESS=ON, LIBRARY the plugin library.
Every output is held to the float64 reference by the error budget.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from attnexport.plugins.library import load_library
from tests.plugins.harness_cases import harness_cases, read_output, write_case
from tests.plugins.kernel_cases import FLOAT_TYPES, Outcome, make_arguments, truth


def main() -> int:
    """Prints one line a failed call; returns 1 when there was one."""
    harness, library = sys.argv[1], sys.argv[2]
    memory = sys.argv[3] if len(sys.argv) > 3 else "device"
    ops = load_library(library).ops
    failed = count = 0
    with tempfile.TemporaryDirectory() as name:
        for case in harness_cases():
            for dtype in FLOAT_TYPES:
                arguments = make_arguments(case, dtype)
                text = f"case{count}"
                count += 1
                path, output = write_case(Path(name), text, ops[case.op_type], arguments)
                command = [harness, "--memory", memory, library, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                expected = truth(case, dtype, arguments)
                outcome = Outcome(float("nan"), expected.allowed)
                if done.returncode == 0:
                    outcome = expected.hold(read_output(output, arguments))
                if not outcome.good:
                    failed += 1
                    said = (done.stdout + done.stderr).strip().splitlines()[-1:]
                    print(
                        f"FAIL {case} {dtype}: error {outcome.error:.3g}, allowed {outcome.allowed:.3g} {said}",
                        flush=True,
                    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{device}: {count} calls through the adapter, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
