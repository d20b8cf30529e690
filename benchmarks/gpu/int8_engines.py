"""int8 engines of TensorRT 8.6 beside half ones on a GPU, with attnrt and numpy alone:

    python -m benchmarks.gpu.int8_engines CASES --runtime DIR --plugins LIB --tensorrt DIR

CASES is what prepare_int8_engines.py wrote; DIR of --runtime holds attnrt and libattnrt.so. Builds every model from its
floating and from its int8 file, half allowed to both, holds the int8 engines to the quantized budget, and times both in
a CUDA graph. Returns 1 when an int8 engine was not built, gave other bits when it ran again, or is outside the budget.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.backends.engine_layers import read_layers
from attnexport.errors import BackendError
from attnexport.plugins.runtime.engine import Engine as LoadedEngine
from attnexport.plugins.runtime.runtime import LIBRARY, PROGRAM, Runtime
from benchmarks.gpu.whole_engines import Attnrt, Engine

REPEATS = 100
HEADER = "| model | file | built in | two runs | error | allowed | right | in PyTorch | CUDA graph, ms | layers | |"


def main() -> int:
    """Prints a row an engine; returns 1 when an int8 one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--plugins", type=Path, required=True)
    parser.add_argument("--tensorrt", type=Path, required=True)
    parser.add_argument("--patience", type=float, default=240.0, help="seconds for a build")
    parser.add_argument("--jobs", type=int, default=16, help="builds at a time")
    given = parser.parse_args()
    os.environ["ATTNEXPORT_TENSORRT"] = str(given.tensorrt)
    cases = json.loads((given.cases / "cases.json").read_text())
    engines = {(index, kind): engine_of(given.cases, case, kind) for index, case in enumerate(cases) for kind in KINDS}
    attnrt = Attnrt(given.runtime / PROGRAM, given.plugins, given.tensorrt)
    with ThreadPoolExecutor(given.jobs) as pool:
        built = dict(
            zip(engines, pool.map(lambda each: attnrt.build(each, given.patience), engines.values()), strict=True)
        )
    tensorrt = Runtime(given.runtime / LIBRARY).open_tensorrt()
    print(f"{HEADER}\n|{'---|' * (HEADER.count('|') - 1)}")
    good = True
    for (index, kind), engine in engines.items():
        start = f"| {cases[index]['floating']['name']} | {kind} | {built[index, kind]} |"
        if not engine.path.exists():
            good &= kind != "int8"
            print(f"{start} | | | | | | | FAILED |", flush=True)
            continue
        loaded = tensorrt.load(engine.path.read_bytes(), given.plugins)
        row, within = report(loaded, given.cases, cases[index], kind)
        good &= within
        print(f"{start} {row} | {'' if within else 'FAILED'} |", flush=True)
    return 0 if good else 1


KINDS = ("fp16", "int8")


def engine_of(folder: Path, case: Mapping[str, Any], kind: str) -> Engine:
    """The engine of a model's floating or int8 file."""
    sample = case["floating"]
    shapes = [part for name, sizes in sample["profiles"].items() for part in ("--shapes", f"{name}={sizes}")]
    model = folder / (case["model"] if kind == "int8" else sample["model"])
    return Engine(folder / f"{sample['name']}.{kind}.engine", model, (*shapes, "--precision", "fp16"))


def report(engine: LoadedEngine, folder: Path, case: Mapping[str, Any], kind: str) -> tuple[str, bool]:
    """An engine's cells, and whether all is well; half engines are not judged here."""
    judged, equal, right = [], True, "|"
    runs = case["floating"]["runs"]
    for run, allowed in zip(runs, case["allowed"], strict=True):
        inputs = read(folder / run["inputs"])
        (first,), (again,) = (engine.run(inputs).values() for _ in range(2))
        equal &= np.array_equal(first, again)
        reference = read(folder / run["reference"])
        limit = allowed if kind == "int8" else run["allowed"]["fp16"]
        judged.append((float(np.abs(first.astype(np.float64) - reference["output"]).max()), limit))
        right = f"{int((first.argmax(-1) == reference['labels']).sum())} | {run['labels_right']}"
    error, limit = max(judged, key=lambda each: each[0] / each[1])
    timed = case["timed"]
    if timed is not None:
        (name,) = case["floating"]["profiles"]
        inputs = {name: np.random.default_rng(1).standard_normal(timed).astype(np.float32)}
    cells = f"{'equal' if equal else 'DIFFER'} | {error:.2e} | {limit:.2e} | {right} | {milliseconds(engine, inputs)}"
    return f"{cells} | {layers(engine)}", kind != "int8" or (equal and error <= limit)


def milliseconds(engine: LoadedEngine, inputs: Mapping[str, NDArray[Any]]) -> str:
    """The median launch of a CUDA graph, or why there is none."""
    try:
        return f"{np.median(engine.time(inputs, REPEATS, cuda_graph=True).gpu) * 1e3:.3f}"
    except BackendError as error:
        return str(error)


def layers(engine: LoadedEngine) -> str:
    """How many layers there are of each kind and type of output, as TensorRT says."""
    found = read_layers(engine.layers())
    counted = Counter(f"{layer.kind} {'/'.join(sorted(set(layer.precisions)))}".strip() for layer in found.layers)
    return ", ".join(f"{count} {what}" for what, count in counted.most_common())


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


if __name__ == "__main__":
    sys.exit(main())
