"""Quantizers side by side: one floating file, one calibration set and one test set, as a Markdown table.

python -m benchmarks.quantizers MODEL TEST.npz --calibration DATA.npz [--samples 256] [--rows N] [--to int8 fp8 int4]
    [--methods minmax mse] [--folder FOLDER]

MODEL is a .pt2, whose float64 outputs errors are measured from, or an ONNX file: --factory module:function and
--weights FILE.safetensors say what it is of, else it is held to itself. TEST.npz has an array for each input, and
labels. Every file is evaluated in ONNX Runtime on the CPU, its Q/DQ nodes as they are written.
"""

from __future__ import annotations

import argparse
import importlib
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.layers import layers_of
from attnexport.errors import AttnexportError, first_line
from attnexport.graph.precision import write_precision
from attnexport.graph.writing import write_model
from benchmarks.quantizer_tools import ATTNEXPORT, TOOLS

LABELS = "labels"
BATCH = 64
DOMAIN = "attnexport"
LAYERS = ("MatMul", "Gemm", "Conv")
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TestSet:
    """Rows of each input, and labels (…) of predictions."""

    inputs: Rows
    labels: NDArray[Any]

    def batches(self) -> Iterator[Rows]:
        """BATCH rows at a time."""
        for start in range(0, len(self.labels), BATCH):
            yield {name: array[start : start + BATCH] for name, array in self.inputs.items()}

    @property
    def resolution(self) -> float:
        """Points that one prediction makes."""
        return 100 / self.labels.size


@dataclass(frozen=True)
class Evaluation:
    """What a file computes on the test set.

    Attributes:
        accuracy: share of right predictions, 0 to 1.
        logits: scores of all rows (…, classes).
    """

    accuracy: float
    logits: NDArray[Any]


def evaluated(run: Callable[[Rows], NDArray[Any]], test: TestSet) -> Evaluation:
    """Runs all batches; ``run`` gives the scores of one."""
    logits = np.concatenate([run(batch) for batch in test.batches()])
    return Evaluation(float((logits.argmax(-1) == test.labels).mean()), logits)


def onnxruntime_run(file: Path) -> Callable[[Rows], NDArray[Any]]:
    """The first output of a file."""
    backend = OnnxRuntimeBackend(file)
    return lambda batch: backend.run(batch)[backend.output_names[0]].astype(np.float64)


def pytorch_run(model: attnexport.Model) -> Callable[[Rows], NDArray[Any]]:
    """The first output in float64."""

    def run(batch: Rows) -> NDArray[Any]:
        tensors = [torch.from_numpy(batch[name]) for name in model.input_names]
        return model.run(tensors, dtype=torch.float64)[0].numpy()

    return run


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    tool: str
    precision: str
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"| {self.tool} | {self.precision} | {' | '.join(self.cells)} |"


HEADER = (
    "| tool | file | accuracy | drop, points | logit error, at most | of weights | MB | processor, s | attention |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|",
)


class Table:
    """Evaluates files against a reference and gives their rows.

    Args:
        source: the floating file.
        test: the test set.
        reference: what errors are measured from.
    """

    def __init__(self, source: Path, test: TestSet, reference: Evaluation) -> None:
        self._test, self._reference = test, reference
        self._parameters = sum(layer.parameters for layer in layers_of(ir.load(source)))
        self._nodes = attention_nodes(source)

    def line(self, tool: str, precision: str, file: Path, seconds: str) -> Line:
        """What a file lost and kept, or why it does not run."""
        size = f"{sum(part.stat().st_size for part in (file, Path(f'{file}.data')) if part.exists()) / 1e6:.2f}"
        nodes = f"{attention_nodes(file)} of {self._nodes}"
        share = f"{100 * quantized_parameters(file) / self._parameters:.0f} %"
        try:
            found = evaluated(onnxruntime_run(file), self._test)
        except AttnexportError as error:
            return Line(
                tool, precision, (f"does not run: {first_line(error, 160)}", "", "", share, size, seconds, nodes)
            )
        drop = 100 * (self._reference.accuracy - found.accuracy)
        error = np.abs(found.logits - self._reference.logits).max()
        accuracy = f"{100 * found.accuracy:.2f} %"
        return Line(tool, precision, (accuracy, f"{drop:.2f}", f"{error:.2g}", share, size, seconds, nodes))


def attention_nodes(file: Path) -> int:
    """Nodes that are still attention and have their bodies in the file."""
    model = onnx.load(file, load_external_data=False)
    bodies = {function.name for function in model.functions if function.domain == DOMAIN}
    return sum(node.domain == DOMAIN and node.op_type in bodies for node in model.graph.node)


def quantized_parameters(file: Path) -> int:
    """How many numbers the weights hold that layers read through DequantizeLinear."""
    found = 0
    for node in ir.load(file).graph:
        weight = node.inputs[1] if node.op_type in LAYERS and len(node.inputs) > 1 else None
        while weight is not None and (producer := weight.producer()) is not None and producer.op_type in QUANTIZERS:
            weight = producer.inputs[0]
            if weight is not None and weight.is_initializer():
                assert weight.shape is not None
                found += math.prod(weight.shape.numpy())
    return found


def made_by(tool: str, precision: str, source: Path, data: Path, samples: int, output: Path) -> str:
    """Runs a tool in a process of its own; the processor seconds that it took.

    Raises:
        RuntimeError: with the last line that it wrote.
    """
    command = [sys.executable, "-m", "benchmarks.quantizer_tools", tool, precision, str(source), str(data)]
    done = subprocess.run([*command, str(samples), str(output)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["nothing"])[-1])
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        source, reference_run = opened(given, folder)
        test = test_set(source, given.test, given.rows)
        reference = evaluated(reference_run, test)
        table = Table(source, test, reference)
        of_pytorch = given.model.suffix == ".pt2" or given.factory is not None
        named = "PyTorch in float64" if of_pytorch else "the file itself"
        print(f"{given.model}: {test.labels.size} predictions, one of which is {test.resolution:.3f} points; ", end="")
        print(f"reference {named}, {100 * reference.accuracy:.2f} %; calibrated on {given.samples} samples.\n")
        print(*HEADER, sep="\n")
        print(table.line("", "fp32", source, ""))
        print(table.line("", "fp16", half_of(source, folder), ""), flush=True)
        for precision in given.to:
            for tool in (*tools(given.methods, precision), *TOOLS):
                output = folder / f"{source.stem}.{precision}.{tool.replace(' ', '-')}.onnx"
                try:
                    seconds = made_by(tool, precision, source, given.calibration, given.samples, output)
                except RuntimeError as error:
                    print(Line(tool, precision, (f"not made: {str(error)[:90]}", "", "", "", "", "", "")), flush=True)
                else:
                    print(table.line(tool, precision, output, seconds), flush=True)


def tools(methods: list[str], precision: str) -> list[str]:
    """This package with each method; of weights alone, which need no data, once."""
    return [ATTNEXPORT] if precision == "int4" else [f"{ATTNEXPORT} {method}" for method in methods]


def opened(given: argparse.Namespace, folder: Path) -> tuple[Path, Callable[[Rows], NDArray[Any]]]:
    """The floating ONNX file, and what runs the reference."""
    if given.factory is not None:
        return given.model, module_run(given.factory, given.weights)
    if given.model.suffix != ".pt2":
        return given.model, onnxruntime_run(given.model)
    source = folder / f"{given.model.stem}.onnx"
    attnexport.convert(given.model, None, source, opset=21)
    return source, pytorch_run(attnexport.load_model(given.model))


def module_run(factory: str, weights: Path) -> Callable[[Rows], NDArray[Any]]:
    """A module that a function makes, in float64."""
    name, _, function = factory.partition(":")
    module: torch.nn.Module = getattr(importlib.import_module(name), function)()
    module.load_state_dict(load_file(weights))
    module.double().eval()

    def run(batch: Rows) -> NDArray[Any]:
        tensors = [torch.from_numpy(array) for array in batch.values()]
        with torch.no_grad():
            return module(*(it.double() if it.is_floating_point() else it for it in tensors)).numpy()

    return run


def half_of(source: Path, folder: Path) -> Path:
    """The file with half written into it, as builders get it."""
    model = ir.load(source)
    write_precision(model, "fp16")
    write_model(model, folder / f"{source.stem}.fp16.onnx")
    return folder / f"{source.stem}.fp16.onnx"


def test_set(source: Path, file: Path, rows: int | None) -> TestSet:
    """The rows of a file's arrays that the inputs take, and its labels."""
    with np.load(file) as stored:
        names = [value.name for value in onnx.load(source, load_external_data=False).graph.input]
        return TestSet({name: stored[name][:rows] for name in names}, stored[LABELS][:rows])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--calibration", type=Path, required=True, help="an .npz that is not the test set")
    parser.add_argument("--factory", help="makes the module that an ONNX file is of, as samples.glyphs.model:topn")
    parser.add_argument("--weights", type=Path, help="of that module, .safetensors")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--rows", type=int, help="of the test set; default all")
    parser.add_argument("--to", nargs="+", choices=("int8", "fp8", "int4"), default=["int8", "fp8", "int4"])
    parser.add_argument("--methods", nargs="+", default=["minmax", "mse"], help="of this package's ranges")
    parser.add_argument("--folder", type=Path, help="keep the files in this folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
