"""Peak memory of the linear-cost operators at 32768 tokens: python -m benchmarks.memory [CASE BACKEND]."""

from __future__ import annotations

import resource
import subprocess
import sys

from benchmarks.linear_cases import BACKENDS, CASES

TOKENS = 32768


def peak_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case: str, backend: str) -> tuple[float, float]:
    """Peak before and after one run, MiB, inputs included in both."""
    run = BACKENDS[backend](case, TOKENS)
    before = peak_mib()
    run()
    return before, peak_mib()


def main() -> None:
    if len(sys.argv) == 3:
        print(*measure(sys.argv[1], sys.argv[2]))
        return
    print(f"peak resident memory at {TOKENS} tokens, MiB (before the run, after it)")
    for case in CASES:
        for backend in BACKENDS:
            command = [sys.executable, "-m", "benchmarks.memory", case, backend]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            before, after = map(float, done.stdout.split())
            print(f"{case:26} {backend:12} {before:7.0f} {after:7.0f}")


if __name__ == "__main__":
    main()
