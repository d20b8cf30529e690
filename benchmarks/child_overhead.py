"""What running a .pt2 in a child adds to a command: to nothing, and to attnexport convert of a sample.

python -m benchmarks.child_overhead [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attnexport.sandbox.limits import usual_limits
from attnexport.sandbox.places import Places
from attnexport.sandbox.supervisor import Command, run_in_child

SAMPLE = Path(__file__).parents[1] / "samples" / "digits" / "krause.pt2"


def seconds_of(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def child_alone(folder: Path) -> float:
    """Seconds that a child takes which does nothing, with an output, in a process that has imported nothing large."""
    command = Command(SAMPLE, [folder / "out.onnx"], Places(readable=(SAMPLE,)), usual_limits())
    return seconds_of(lambda: run_in_child(command, lambda: 0))


def convert(folder: Path, *options: str) -> float:
    """Processor seconds of a whole command and its child, which a busy machine does not change."""
    command = [sys.executable, "-m", "attnexport.cli", "convert", SAMPLE, "-o", folder / "out.onnx", *options]
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = [child_alone(folder) for _ in range(5 * rounds)]
        middle, slowest = (1000 * figure for figure in (statistics.median(alone), max(alone)))
        print(f"a child that does nothing: {middle:.0f} ms, at most {slowest:.0f} ms")
        ways: dict[str, tuple[str, ...]] = {"in a child": (), "with --trust-model": ("--trust-model",)}
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, options in ways.items():
                taken[way].append(convert(folder, *options))
    for way, figures in taken.items():
        print(f"convert {way}: {statistics.median(figures):.2f} s of processor time, {min(figures):.2f} at best")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
