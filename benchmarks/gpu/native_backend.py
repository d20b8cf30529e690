"""The backend native from Python on a GPU: attnexport build, run and check of every sample.

    python -m benchmarks.gpu.native_backend CASES --tensorrt DIR --runtime DIR --plugins LIB [-o TABLE.md]

CASES is what prepare_engines.py wrote; DIR of --tensorrt holds libnvinfer.so, that of --runtime libattnrt.so. Builds an
engine of every sample, runs each size of its profile three times, and checks the engine against the sample's .pt2 and
test data. Returns 1 when an engine was not built, gave other bits when it ran again, or is outside its budget.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.whole_engines import Engine, read_output

SAMPLES = Path(__file__).parents[2] / "samples"
HEADER = "| sample | built in | layers | bits of the runs | error | allowed | right | in PyTorch | check | |"
REPEATS = 3


class CommandError(Exception):
    """A command of attnexport failed; its last line says why."""


@dataclass(frozen=True)
class Attnexport:
    """The commands, with what all of them are given.

    Attributes:
        tensorrt, runtime: folders of libnvinfer.so and libattnrt.so.
        plugins: the plugin library.
        patience: seconds that a command may take.
    """

    tensorrt: Path
    runtime: Path
    plugins: Path
    patience: float

    def call(self, *command: object) -> None:
        """Runs a command.

        Raises:
            CommandError: it failed, or took too long.
        """
        folders = {"ATTNEXPORT_TENSORRT": str(self.tensorrt), "ATTNEXPORT_RUNTIME": str(self.runtime)}
        threads = {"OMP_NUM_THREADS": "2"}  # samples run side by side
        words = [sys.executable, "-m", "attnexport.cli", *map(str, command), "--plugins", str(self.plugins)]
        try:
            done = subprocess.run(
                words,
                env=os.environ | folders | threads,
                capture_output=True,
                text=True,
                check=False,
                timeout=self.patience,
            )
        except subprocess.TimeoutExpired:
            raise CommandError(f"not done after {self.patience:.0f} s") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise CommandError(f"exit code {done.returncode}: {said[-1].strip() if said else 'nothing said'}")


@dataclass(frozen=True)
class Case:
    """A sample with the files that its engine is built and judged by."""

    folder: Path
    sample: dict[str, Any]
    precision: str
    target: str

    @property
    def engine(self) -> Engine:
        """The ONNX file, the shapes and the engine."""
        return Engine.of_sample(self.folder, self.sample, self.precision)

    @property
    def program(self) -> Path:
        """The sample itself, which prepare_engines.py names digits-krause."""
        return SAMPLES / f"{self.sample['name'].replace('-', '/', 1)}.pt2"

    def row(self, attnexport: Attnexport) -> tuple[str, bool]:
        """The table's row, and whether all is well."""
        start = time.perf_counter()
        try:
            options = ("--target", self.target, "--backend", "native", *self.engine.options)
            attnexport.call("build", self.engine.model, "-o", self.engine.path, *options)
            built = f"{time.perf_counter() - start:.0f} s | {self._notes()}"
            runs, good = self._runs(attnexport)
        except CommandError as error:
            return f"| {self.sample['name']} | {error} | | | | | | | | FAILED |", False
        checked = self._check(attnexport)
        good &= checked == "within"
        return f"| {self.sample['name']} | {built} | {runs} | {checked} | {'' if good else 'FAILED'} |", good

    def _notes(self) -> str:
        manifest = json.loads(self.engine.path.with_name(f"{self.engine.path.name}.json").read_text())
        return "; ".join(note for note in manifest["notes"] if "not known" in note) or f"{len(manifest['layers'])} read"

    def _runs(self, attnexport: Attnexport) -> tuple[str, bool]:
        """Bits, largest error, what is allowed there, and predictions; whether the runs agree and are within."""
        equal, judged = True, []
        for index, run in enumerate(self.sample["runs"]):
            first, *again = (self._run(attnexport, run, index, repeat) for repeat in range(REPEATS))
            equal &= all(np.array_equal(first, values) for values in again)
            with np.load(self.folder / run["reference"]) as archive:
                error = float(np.abs(first - archive["output"]).max())
                right = int((first.argmax(-1) == archive["labels"]).sum())
            judged.append((error, run["allowed"][self.precision]))
        error, allowed = max(judged, key=lambda each: each[0] / each[1])
        bits = "equal" if equal else "DIFFER"
        labels = f"{right} | {self.sample['runs'][-1]['labels_right']}"
        return f"{bits} | {error:.2e} | {allowed:.2e} | {labels}", equal and error <= allowed

    def _run(self, attnexport: Attnexport, run: dict[str, Any], index: int, repeat: int) -> NDArray[np.float64]:
        output = self.engine.path.with_suffix(f".{index}.{repeat}.npz")
        attnexport.call("run", self.engine.path, "--data", self.folder / run["inputs"], "-o", output)
        return read_output(output)

    def _check(self, attnexport: Attnexport) -> str:
        options = ("--data", self.program.with_name("test.npz"), "--repeat", REPEATS, "--no-cache", "--trust-model")
        try:
            attnexport.call("check", self.program, self.engine.path, *options)
        except CommandError as error:
            return str(error)
        return "within"


def table_of(cases: Sequence[Case], attnexport: Attnexport, jobs: int) -> tuple[str, bool]:
    """The whole table, and whether every row is well; ``jobs`` samples at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(lambda case: case.row(attnexport), cases))
    rule = "|" + "---|" * (HEADER.count("|") - 1)
    return "\n".join([HEADER, rule, *(row for row, _ in rows)]), all(good for _, good in rows)


def main() -> int:
    """Prints the table, writes it, and returns 1 when something in it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--tensorrt", type=Path, required=True)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--plugins", type=Path, required=True)
    parser.add_argument("--target", default="h200")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--jobs", type=int, default=7, help="samples at a time")
    parser.add_argument("--patience", type=float, default=240.0, help="seconds for a command")
    parser.add_argument("-o", "--output", type=Path, help="write the table here too")
    given = parser.parse_args()
    attnexport = Attnexport(given.tensorrt, given.runtime, given.plugins, given.patience)
    samples = json.loads((given.cases / "cases.json").read_text())["samples"]
    cases = [Case(given.cases, sample, given.precision, given.target) for sample in samples]
    table, good = table_of(cases, attnexport, given.jobs)
    print(table)
    if given.output is not None:
        given.output.write_text(f"{table}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
