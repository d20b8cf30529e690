"""Peak memory of finding the guilty layer: python -m benchmarks.bisect_memory [TASK FOLDER].

A model of 24 layers is converted once; then, each in a process of its own, it is checked, it is checked and searched,
and all of its tensors are made outputs at once, as tools do that mark everything.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

import attnexport
from attnexport.accuracy.check.check import check
from attnexport.accuracy.contenders.contenders import BackendContender
from attnexport.accuracy.contenders.facts import ContenderFacts
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.diagnosis.bisect.search import bisect
from attnexport.accuracy.diagnosis.bisect.tapped_files import tapped_copy
from attnexport.accuracy.diagnosis.bisect.taps import file_taps
from attnexport.accuracy.inputs.files import Batch
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.inspection import read_model
from attnexport.models.loading.sources import load_model
from attnexport.models.model import Model

LAYERS, DIM, HEADS, TOKENS, BATCH = 24, 384, 6, 197, 8
FAULTY = "blocks.12.mlp.0"


class Block(nn.Module):
    """Attention and an MLP, each behind a norm and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(DIM)
        self.attention = attnexport.AffineScaledAttention(DIM, HEADS)
        self.mlp_norm = nn.LayerNorm(DIM)
        self.mlp = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """Blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.head = nn.Linear(DIM, 100)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x)[:, 0])


def convert(folder: Path) -> None:
    """Writes the model and its ONNX file."""
    torch.manual_seed(0)
    model, example = Transformer(), (torch.randn(2, TOKENS, DIM),)
    shapes = {"x": {0: "batch"}}
    attnexport.save(model, folder / "model.pt2", args=example, dynamic_shapes=shapes)
    attnexport.convert(model, example, folder / "model.onnx", dynamic_shapes=shapes)
    file = ir.load(folder / "model.onnx")
    bias = file.graph.initializers[f"{FAULTY}.bias"]
    bias.const_value = ir.tensor(bias.const_value.numpy() + 0.1, name=bias.name)
    ir.save(file, folder / "faulty.onnx")


def run(task: str, folder: Path) -> None:
    """One of TASKS, on a batch of its own."""
    program, path = load_model(folder / "model.pt2").program, folder / "model.onnx"
    assert program is not None
    batch = Batch("random", (torch.randn(BATCH, TOKENS, DIM),))
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident_mib("VmRSS"), time.perf_counter()
    TASKS[task](program, path, batch)
    print(f"{before},{resident_mib('VmHWM')},{time.perf_counter() - start}")


def resident_mib(field: str) -> float:
    """Resident size of this process, MiB: VmRSS now, VmHWM its peak since clear_refs was written."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def run_check(program: ExportedProgram, path: Path, batch: Batch) -> None:
    """The check alone."""
    backend = OnnxRuntimeBackend(path)
    contender = BackendContender(ContenderFacts("file", backend.description, "fp32", ""), backend, Model(program))
    check(TorchRuns(Model(program)), [contender], [batch])


def run_bisect(program: ExportedProgram, path: Path, batch: Batch) -> None:
    """The check, and then the search."""
    run_check(program, path, batch)
    found = bisect(Model(program), path, batch, OnnxRuntimeBackend)
    assert found.guilty is None
    assert len(found.layers) > 2 * LAYERS


def run_bisect_of_faulty(program: ExportedProgram, path: Path, batch: Batch) -> None:
    """The same on the file with a fault, which is looked for tensor by tensor inside its layer."""
    run_check(program, path.with_name("faulty.onnx"), batch)
    found = bisect(Model(program), path.with_name("faulty.onnx"), batch, OnnxRuntimeBackend)
    assert found.guilty is not None
    assert found.guilty.layer == FAULTY


def run_all_tapped(program: ExportedProgram, path: Path, batch: Batch) -> None:
    """ONNX Runtime alone with every tensor that has a counterpart in PyTorch as an output."""
    taps, _ = file_taps(program, read_model(path))
    outputs = {value.name for value in read_model(path).graph.outputs}
    tensors = [tap.tensor for tap in taps if tap.tensor not in outputs]
    with tapped_copy(path, (), tensors) as copy:
        OnnxRuntimeBackend(copy).run({"x": batch.tensors[0].numpy()})


TASKS = {
    "check": run_check,
    "check and bisect": run_bisect,
    "with a fault": run_bisect_of_faulty,
    "every tensor at once": run_all_tapped,
}


def main() -> None:
    if len(sys.argv) == 3:
        run(sys.argv[1], Path(sys.argv[2]))
        return
    print(f"{LAYERS} layers, width {DIM}, {TOKENS} tokens, batch {BATCH}: MiB before the task and at its peak; seconds")
    with tempfile.TemporaryDirectory() as folder:
        convert(Path(folder))
        for task in TASKS:
            command = [sys.executable, "-m", "benchmarks.bisect_memory", task, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            before, after, seconds = map(float, done.stdout.split(","))
            print(f"{task:20} {before:7.0f} {after:7.0f} {seconds:8.1f}")


if __name__ == "__main__":
    main()
