"""What int8_engines.py needs, for a machine without PyTorch: python -m benchmarks.gpu.prepare_int8_engines FOLDER.

Every sample's ONNX file for TensorRT 8.6 and its int8 file, calibrated on 128 rows of its data, and transformers large
enough for time to show. Inputs, the float64 reference, and what the quantized budget allows: twice the error of PyTorch
with the same fake quantization.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import attnexport
from attnexport.accuracy.check.budget import TORCH_ERROR_FACTOR, relative_floor
from attnexport.accuracy.contenders.quantized_files import take_apart
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.files.staging import work_folder
from attnexport.graph.tensorrt8 import widen_quantized_weights
from attnexport.graph.writing import write_model
from attnexport.models.model import Model
from benchmarks.gpu.prepare_engines import SAMPLES, TARGET, Sample, prepare_run, prepare_sample
from samples.digits.model import Block

CALIBRATED_ON = 128
DIM, HEADS, DEPTH, OUTPUTS = 768, 12, 6, 16
BATCH, TOKENS = 8, 1024
"""What the large models are timed at; a quarter of the tokens of one sample is held to PyTorch."""

LARGE: dict[str, Callable[[], nn.Module]] = {
    "krause": lambda: attnexport.KrauseAttention(DIM, HEADS),
    "affine": lambda: attnexport.AffineScaledAttention(DIM, HEADS),
}


@dataclass(frozen=True)
class Int8Model:
    """A model with its int8 file.

    Attributes:
        floating: the file before quantization, its shapes and its calls.
        model: the int8 file, as TensorRT 8.6 takes it.
        allowed: largest error allowed to it, for each call.
        timed: sizes of the random input that it is timed on; None for that of the last call.
    """

    floating: Sample
    model: str
    allowed: list[float]
    timed: tuple[int, ...] | None


class Transformer(nn.Module):
    """One block of the digits sample, applied DEPTH times, so that the file stays small."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.block = Block(DIM, attention)
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, DIM) to (B, N, OUTPUTS)."""
        for _ in range(DEPTH):
            x = self.block(x)
        y: Tensor = self.head(self.norm(x))
        return y


def main() -> None:
    """Writes FOLDER/cases.json and the files that it names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    models = [prepare_int8(path, folder) for path in sorted(SAMPLES.glob("*/*.pt2"))]
    models += [prepare_large(name, folder) for name in LARGE]
    (folder / "cases.json").write_text(json.dumps([dataclasses.asdict(model) for model in models], indent=1) + "\n")


def prepare_int8(path: Path, folder: Path) -> Int8Model:
    """A sample, quantized, timed on all of its test data."""
    sample = prepare_sample(path, folder)
    loaded = attnexport.load_model(path)
    names = {value.name for value in loaded.inputs}
    with np.load(path.parent / "test.npz") as archive:
        data = {name: archive[name][:CALIBRATED_ON] for name in archive.files if name in names}
    model, allowed = quantized(loaded, folder / sample.model, data, [folder / run.inputs for run in sample.runs])
    return Int8Model(sample, model, allowed, None)


def prepare_large(name: str, folder: Path) -> Int8Model:
    """A transformer of random weights."""
    torch.manual_seed(0)
    module = Transformer(LARGE[name]()).eval()
    draw_weights(module)
    rows = np.random.default_rng(0).standard_normal((2, TOKENS // 4, DIM)).astype(np.float32)
    sizes = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("tokens", min=2, max=TOKENS)}
    loaded = Model(torch.export.export(module, (torch.from_numpy(rows),), dynamic_shapes={"x": sizes}))
    title = f"large-{name}"
    attnexport.convert(loaded, None, folder / f"{title}.onnx", target=TARGET, nodes="plugin")
    labels = np.zeros((1, *rows.shape[1:-1]), np.int64)
    run = prepare_run(loaded, {"x": rows[:1]}, labels, folder, f"{title}-0")
    model, allowed = quantized(loaded, folder / f"{title}.onnx", {"x": rows}, [folder / run.inputs])
    shapes = f"1x64x{DIM}:{BATCH}x{TOKENS}x{DIM}:{BATCH}x{TOKENS}x{DIM}"
    sample = Sample(title, f"{title}.onnx", {"x": shapes}, [run])
    return Int8Model(sample, model, allowed, (BATCH, TOKENS, DIM))


def draw_weights(module: nn.Module) -> None:
    """Matrices that depend on their names and shapes alone."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.dim() == 2:
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                weight.copy_(torch.randn(weight.shape, generator=generator) * weight.shape[1] ** -0.5)


def quantized(
    model: Model, path: Path, data: Mapping[str, NDArray[Any]], inputs: Sequence[Path]
) -> tuple[str, list[float]]:
    """The name of the int8 file beside an ONNX file, and the largest error allowed to it on each of the inputs."""
    output = path.with_suffix(".int8.onnx")
    with work_folder() as work:
        np.savez(work / "data.npz", allow_pickle=False, **data)
        attnexport.quantize(path, work / output.name, to="int8", data=work / "data.npz")
        parts = take_apart(work / output.name, model, work)
        assert parts is not None
        assert not parts.faults
        yardstick = OnnxRuntimeBackend(parts.yardstick)
        allowed = [_allowed(model, yardstick, file) for file in inputs]
        written = ir.load(work / output.name)
        widen_quantized_weights(written)
        write_model(written, output)
    return output.name, allowed


def _allowed(model: Model, yardstick: OnnxRuntimeBackend, file: Path) -> float:
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    (exact,) = model.run([torch.from_numpy(array) for array in arrays.values()], dtype=torch.float64)
    (own,) = yardstick.run(arrays).values()
    floor = relative_floor(model.variants, torch.float32) * float(exact.abs().max())
    return TORCH_ERROR_FACTOR * float(np.abs(own - exact.numpy()).max()) + floor


if __name__ == "__main__":
    main()
