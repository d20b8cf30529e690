"""Processor time of whole commands, children included: what a user waits for on a machine that does nothing else.

python -m benchmarks.command_times [ROUNDS] [THREADS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

DIGITS = Path(__file__).parents[1] / "samples" / "digits"
KRAUSE, TOPN, IMAGES = (str(DIGITS / name) for name in ("krause.pt2", "topn.pt2", "test.npz"))


@dataclass(frozen=True)
class Case:
    """A command line, the exit code that it ends with and the processor time that it is to take at most."""

    title: str
    arguments: tuple[str, ...]
    wanted_s: float
    code: int = 0


MISTAKE_S, LOOK_S = 0.3, 0.6


def cases(onnx: str, library: str) -> list[Case]:
    """What is timed; ``-o`` names go into the folder that the commands run in, which is theirs alone."""
    return [
        Case("a value that an option does not have", ("convert", KRAUSE, "-o", "k.onnx", "--nodes", "x"), MISTAKE_S, 2),
        Case("an unknown target", ("convert", KRAUSE, "-o", "k.onnx", "--target", "jetson"), MISTAKE_S, 2),
        Case("a model that is not there", ("convert", "none.pt2", "-o", "k.onnx"), MISTAKE_S, 2),
        Case("a contender that is not there", ("check", KRAUSE, "none.onnx"), MISTAKE_S, 2),
        Case("an unknown kind of inputs", ("check", KRAUSE, onnx, "--kinds", "norml"), MISTAKE_S, 2),
        Case("--help", ("--help",), LOOK_S),
        Case("targets", ("targets",), LOOK_S),
        Case("variants", ("variants",), LOOK_S),
        Case("inspect of a file", ("inspect", onnx), LOOK_S),
        Case("plugins info", ("plugins", "info", library), LOOK_S),
        Case("convert, digits", ("convert", KRAUSE, "-o", "k.onnx"), 5),
        Case("record, 360 images of 8x8", ("record", KRAUSE, "-o", "set{round}", "--data", IMAGES), 15),
        Case("analyze, 64 samples", ("analyze", TOPN, "--data", IMAGES), 8),
    ]


def attnexport(folder: Path, arguments: tuple[str, ...]) -> int:
    """Runs a command in a process of its own; its exit code."""
    command = [sys.executable, "-m", "attnexport.cli", *arguments]
    return subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def processor_s(case: Case, folder: Path, number: int) -> float:
    """User and system time of the command and of the children that it waited for."""
    before = os.times()
    code = attnexport(folder, tuple(argument.format(round=number) for argument in case.arguments))
    after = os.times()
    if code != case.code:
        raise RuntimeError(f"{case.title}: expected exit code {case.code}, given {code}")
    return after.children_user + after.children_system - before.children_user - before.children_system


def main(rounds: int, threads: str | None) -> None:
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = threads
    print(f"| {rounds} rounds, OMP_NUM_THREADS {threads or 'not set'} | processor, s | wanted |")
    print("|---|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx, plugins = folder / "digits.onnx", folder / "plugins"
        attnexport(folder, ("convert", KRAUSE, "-o", str(onnx)))
        build = ("plugins", "build", "--api", "none", "--arch", "87", "--for", str(onnx), "-o", str(plugins))
        attnexport(folder, build)
        for case in cases(str(onnx), str(plugins / "libattnexport_kernels.so")):
            try:
                taken = [processor_s(case, folder, number) for number in range(rounds)]
            except RuntimeError as error:
                print(f"| {error} | | |")
                continue
            print(f"| {case.title} | {statistics.median(taken):.2f} | {case.wanted_s:g} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2] if len(sys.argv) > 2 else None)
