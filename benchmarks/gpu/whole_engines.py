"""Whole engines on a GPU, with attnrt and numpy alone.

    python -m benchmarks.gpu.whole_engines FOLDER --attnrt PROGRAM --plugins LIB [--tensorrt DIR] [--jobs 4]

FOLDER is what prepare_engines.py wrote. Builds every sample at single and half precision, runs it at the three sizes
of its profile and in a CUDA graph, and holds it to PyTorch; then times every attention layer with the plugin and with
its body of standard operators. Returns 1 when an engine with the plugin was not built, does not run, is outside its
budget, or gives other values in a CUDA graph; bodies are only measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPEATS = 50
NOT_CAPTURABLE = "not stream capturable"
"""What TensorRT says of an engine whose own kernels no CUDA graph can hold."""

PRECISIONS = ("fp32", "fp16")
FORMS = ("with_plugin", "with_bodies")


@dataclass(frozen=True)
class Engine:
    """An engine to build: where it goes, of what, with which options."""

    path: Path
    model: Path
    options: tuple[str, ...]

    @classmethod
    def of_sample(cls, folder: Path, sample: dict[str, Any], precision: str) -> Engine:
        """A sample's engine of one precision."""
        shapes = [part for name, sizes in sample["profiles"].items() for part in ("--shapes", f"{name}={sizes}")]
        path = folder / f"{sample['name']}-{precision}.engine"
        return cls(path, folder / sample["model"], (*shapes, "--precision", precision))

    @classmethod
    def of_layer(cls, folder: Path, layer: dict[str, Any], form: str) -> Engine:
        """An attention layer's engine, with its node or its body."""
        model = folder / layer[form]
        return cls(model.with_suffix(".engine"), model, ("--precision", "fp16"))


@dataclass(frozen=True)
class Attnrt:
    """The program, with the options that every call has."""

    program: Path
    plugins: Path
    tensorrt: Path | None

    def build(self, engine: Engine, patience: float) -> str:
        """Builds an engine; returns how long it took, or what went wrong, in words."""
        engine.path.unlink(missing_ok=True)
        start = time.perf_counter()
        try:
            done = self._call(["build", str(engine.model), "-o", str(engine.path), *engine.options], patience)
        except subprocess.TimeoutExpired:
            return f"not built after {patience:.0f} s"
        if done.returncode:
            return f"not built: {(done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]}"
        return f"{time.perf_counter() - start:.0f} s"

    def run(self, engine: Engine, inputs: Path, output: Path, options: list[str]) -> str:
        """Runs an engine; returns its error message, empty where there is none."""
        done = self._call(["run", str(engine.path), "--data", str(inputs), "-o", str(output), *options])
        return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""

    def _call(self, command: list[str], patience: float | None = None) -> subprocess.CompletedProcess[str]:
        options = ["--plugins", str(self.plugins)]
        options += ["--tensorrt", str(self.tensorrt)] if self.tensorrt else []
        return subprocess.run(
            [str(self.program), *command, *options], capture_output=True, text=True, check=False, timeout=patience
        )


def main() -> int:
    """Prints two tables; returns 1 when an engine with the plugin failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--attnrt", type=Path, required=True)
    parser.add_argument("--plugins", type=Path, required=True)
    parser.add_argument("--tensorrt", type=Path)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for a build")
    parser.add_argument("--jobs", type=int, default=1, help="builds at a time; runs are one after the other")
    parser.add_argument("--only", choices=("samples", "layers"))
    given = parser.parse_args()
    attnrt = Attnrt(given.attnrt, given.plugins, given.tensorrt)
    cases = json.loads((given.folder / "cases.json").read_text())
    samples = [
        Engine.of_sample(given.folder, sample, precision) for sample in cases["samples"] for precision in PRECISIONS
    ]
    layers = [Engine.of_layer(given.folder, layer, model) for layer in cases["layers"] for model in FORMS]
    wanted = {"samples": samples, "layers": layers}.get(given.only, [*samples, *layers])
    with ThreadPoolExecutor(given.jobs) as pool:
        built = dict(zip(wanted, pool.map(lambda engine: attnrt.build(engine, given.patience), wanted), strict=True))
    good = True
    if given.only != "layers":
        good = report_samples(attnrt, given.folder, cases["samples"], built)
    if given.only != "samples":
        good &= report_layers(attnrt, given.folder, cases["layers"], built)
    return 0 if good else 1


def report_samples(attnrt: Attnrt, folder: Path, samples: list[dict[str, Any]], built: dict[Engine, str]) -> bool:
    """Prints a row a run; returns whether all are within the budget."""
    print("| sample | precision | built in | batch | error | allowed | in a CUDA graph | right | in PyTorch | |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---|")
    good = True
    for sample in samples:
        for precision in PRECISIONS:
            engine = Engine.of_sample(folder, sample, precision)
            start = f"| {sample['name']} | {precision} | {built[engine]} |"
            if not engine.path.exists():
                print(f"{start} | | | | | | FAILED |", flush=True)
                good = False
                continue
            for run in sample["runs"]:
                good &= report_run(attnrt, folder, start, engine, run, run["allowed"][precision])
    return good


def report_run(attnrt: Attnrt, folder: Path, start: str, engine: Engine, run: dict[str, Any], allowed: float) -> bool:
    """Runs an engine once plainly and once from a CUDA graph and prints the row."""
    with np.load(folder / run["reference"]) as archive:
        exact, labels = archive["output"], archive["labels"]
    output = folder / "out.npz"
    message = attnrt.run(engine, folder / run["inputs"], output, [])
    if message:
        print(f"{start} {len(exact)} | {message} | | | | | FAILED |", flush=True)
        return False
    values = read_output(output)
    error = float(np.abs(values - exact).max())
    right = int((values.argmax(-1) == labels).sum())
    message = attnrt.run(engine, folder / run["inputs"], output, ["--graph"])
    equal = message == "" and np.array_equal(read_output(output), values)
    good = error <= allowed and (equal or NOT_CAPTURABLE in message)
    graph = message or ("equal" if equal else "other values")
    print(
        f"{start} {len(exact)} | {error:.2e} | {allowed:.2e} | {graph} | {right} | {run['labels_right']} "
        f"| {'' if good else 'FAILED'} |",
        flush=True,
    )
    return good


def report_layers(attnrt: Attnrt, folder: Path, layers: list[dict[str, Any]], built: dict[Engine, str]) -> bool:
    """Prints a row an attention layer and form; returns whether all with the plugin are within the budget."""
    print("\n| attention layer | form | built in | ms | error | allowed |\n|---|---|---:|---:|---:|---:|")
    inputs, output, report = folder / "layer.npz", folder / "out.npz", folder / "run.json"
    good = True
    for layer in layers:
        np.savez(inputs, **draw(layer["inputs"]))
        with np.load(folder / layer["reference"]) as archive:
            exact = archive["output"].astype(np.float64)
        for form in FORMS:
            engine = Engine.of_layer(folder, layer, form)
            start = f"| {layer['name']} | {form.replace('_', ' ')} | {built[engine]} |"
            message = "not run"
            if engine.path.exists():
                message = attnrt.run(engine, inputs, output, ["--time", str(REPEATS), "--json", str(report)])
            if message:
                print(f"{start} {message} | | |", flush=True)
                good &= form != "with_plugin"
                continue
            median = json.loads(report.read_text())["timing"]["gpu_ms"]["median"]
            error = float(np.abs(read_output(output)[:1, : exact.shape[1]] - exact).max())
            good &= form != "with_plugin" or error <= layer["allowed"]
            print(f"{start} {median:.3f} | {error:.1e} | {layer['allowed']:.1e} |", flush=True)
    return good


def draw(inputs: dict[str, Any]) -> dict[str, NDArray[np.float16]]:
    """The inputs of a layer, from seed 0, as prepare_engines.py draws them."""
    generator = np.random.default_rng(0)
    drawn = {}
    for name, given in inputs.items():
        values = given["scale"] * generator.standard_normal(given["shape"])
        drawn[name] = (np.abs(values) if given["positive"] else values).astype(np.float16)
    return drawn


def read_output(path: Path) -> NDArray[np.float64]:
    """The only array of an .npz."""
    with np.load(path) as archive:
        values: NDArray[np.float64] = archive[archive.files[0]].astype(np.float64)
    return values


if __name__ == "__main__":
    sys.exit(main())
