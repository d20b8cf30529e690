"""What whole_engines.py needs, for a machine without PyTorch: python -m benchmarks.gpu.prepare_engines FOLDER.

Every sample's ONNX file for TensorRT 8.6 with its plugin nodes, its inputs at three sizes, the float64 reference and
PyTorch's own error at single and half precision; and one attention layer a variant at 4096 tokens, once as a node and
once as standard operators.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
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
from attnexport.models.model import Model

TARGET = "jetson-orin-jp6.0"
"""TensorRT 8.6: opset 17, no local functions."""

SAMPLES = Path(__file__).parents[2] / "samples"
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}
BATCH, HEADS, TOKENS, WIDTH = 4, 16, 4096, 64
COMPARED_HEADS = 2


@dataclass(frozen=True)
class Run:
    """One call of an engine.

    Attributes:
        inputs: .npz of the inputs.
        reference: .npz of the float64 outputs, and of labels where there are any.
        allowed: largest allowed error by precision.
        labels_right: how many predictions are right in PyTorch, None without labels.
    """

    inputs: str
    reference: str
    allowed: dict[str, float]
    labels_right: int | None = None


@dataclass(frozen=True)
class Sample:
    """A model and its calls."""

    name: str
    model: str
    profiles: dict[str, str]
    runs: list[Run]


@dataclass(frozen=True)
class Drawn:
    """An input of normal numbers, drawn anew wherever it is needed.

    Attributes:
        shape, scale: of the numbers.
        positive: whether their absolute values are taken.
    """

    shape: tuple[int, ...]
    scale: float = 1.0
    positive: bool = False

    def draw(self, generator: np.random.Generator) -> NDArray[np.float16]:
        """The half-precision numbers."""
        values = self.scale * generator.standard_normal(self.shape)
        return (np.abs(values) if self.positive else values).astype(np.float16)


@dataclass(frozen=True)
class AttentionLayer:
    """One attention call at 4096 tokens, as a plugin node and as standard operators.

    Attributes:
        name: for the table.
        with_plugin, with_bodies: the two files.
        inputs: in the order in which they are drawn from seed 0.
        reference: .npz of the float64 output of the first heads of the first sample.
        allowed: largest allowed error there, at half precision.
    """

    name: str
    with_plugin: str
    with_bodies: str
    inputs: dict[str, Drawn]
    reference: str
    allowed: float


class Attention(nn.Module):
    """An attention operator with its parameters and options."""

    def __init__(self, op: Callable[..., Tensor], parameters: Mapping[str, Tensor], **options: Any) -> None:
        super().__init__()
        self.op, self.options, self.names = op, options, tuple(parameters)
        for name, value in parameters.items():
            self.register_buffer(name, value.half())

    def call(self, *tensors: Tensor) -> Tensor:
        """The operator of tensors in its own order."""
        return self.op(*tensors, **{name: getattr(self, name) for name in self.names}, **self.options)


class OfThree(Attention):
    """Attention of queries, keys and values."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """All (B, H, N, D)."""
        return self.call(q, k, v)


class Affine(Attention):
    """Attention with a factor and a share of the values' sum for each row."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """q, k, v (B, H, N, D), alpha and beta (B, H, N)."""
        return self.call(q, k, v, alpha, beta)


class Oscillators(Attention):
    """Attention of frequencies and phases."""

    def forward(self, omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor) -> Tensor:
        """All (B, H, N, D)."""
        return self.call(omega_q, omega_k, theta, v)


class TwoFactors(Attention):
    """Linear attention of two factors."""

    def forward(self, q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor) -> Tensor:
        """Factors (B, H, N, m) and v (B, H, N, D)."""
        return self.op([q1, q2], [k1, k2], v)


PLAIN = Drawn((BATCH, HEADS, TOKENS, WIDTH))
ROW = Drawn((BATCH, HEADS, TOKENS), positive=True)
FREQUENCIES = dataclasses.replace(PLAIN, scale=WIDTH**-0.5)
FEATURES = Drawn((BATCH, HEADS, TOKENS, 32), 32**-0.5, positive=True)
THREE = {"q": PLAIN, "k": PLAIN, "v": PLAIN}
SIGMA = {"sigma": torch.tensor(2.5)}
COUPLING = {"coupling": torch.tensor(8.0), "alpha": torch.full((HEADS,), 0.5)}
CAUSAL_WINDOW = {"window": 256, "causal": True}
LAYERS: dict[str, tuple[nn.Module, dict[str, Drawn]]] = {
    "Krause, causal window 256": (OfThree(attnexport.krause_attention, SIGMA, **CAUSAL_WINDOW), THREE),
    "Krause, causal window 256, top-k 64": (
        OfThree(attnexport.krause_attention, SIGMA, top_k=64, **CAUSAL_WINDOW),
        THREE,
    ),
    "HLA R=2 m=32": (
        TwoFactors(attnexport.hadamard_linear_attention, {}),
        {"q1": FEATURES, "q2": FEATURES, "k1": FEATURES, "k2": FEATURES, "v": PLAIN},
    ),
    "SSA": (
        Oscillators(attnexport.selective_synchronization_attention, COUPLING),
        {"omega_q": FREQUENCIES, "omega_k": FREQUENCIES, "theta": PLAIN, "v": PLAIN},
    ),
    "affine": (
        Affine(attnexport.affine_scaled_attention, {}),
        {**THREE, "alpha": ROW, "beta": dataclasses.replace(ROW, scale=1 / TOKENS)},
    ),
    "top-N = 64": (OfThree(attnexport.top_n_attention, {}, n=64), THREE),
}


def main() -> None:
    """Writes FOLDER/cases.json and the files that it names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    samples = [prepare_sample(path, folder) for path in sorted(SAMPLES.glob("*/*.pt2"))]
    layers = [prepare_layer(index, name, folder) for index, name in enumerate(LAYERS)]
    content = {
        "samples": [dataclasses.asdict(sample) for sample in samples],
        "layers": [dataclasses.asdict(layer) for layer in layers],
    }
    (folder / "cases.json").write_text(json.dumps(content, indent=1) + "\n")


def prepare_sample(path: Path, folder: Path) -> Sample:
    """Converts a sample and runs it in PyTorch at three sizes, the last of which is all of its test data."""
    name = f"{path.parent.name}-{path.stem}"
    loaded = attnexport.load_model(path)
    attnexport.convert(loaded, None, folder / f"{name}.onnx", target=TARGET, nodes="plugin")
    with np.load(path.parent / "test.npz") as archive:
        data = {key: archive[key] for key in archive.files}
    (spec,) = loaded.inputs
    given = data[spec.name]
    # Whole rows and half their length where tokens are dynamic.
    lengths = (2, given.shape[1] // 2, given.shape[1]) if len(spec.shape) == 2 else (given.shape[1],) * 3
    rows = (1, len(given) // 2, len(given))
    runs = []
    for index, (count, length) in enumerate(zip(rows, lengths, strict=True)):
        cut = np.ascontiguousarray(given[:count, :length])
        labels = data["labels"][:count, :length] if data["labels"].ndim > 1 else data["labels"][:count]
        runs.append(prepare_run(loaded, {spec.name: cut}, labels, folder, f"{name}-{index}"))
    shapes = [
        "x".join(map(str, (count, length, *given.shape[2:]))) for count, length in zip(rows, lengths, strict=True)
    ]
    return Sample(name, f"{name}.onnx", {spec.name: ":".join(shapes)}, runs)


def prepare_run(model: Model, inputs: dict[str, NDArray[Any]], labels: NDArray[Any], folder: Path, name: str) -> Run:
    """Writes the inputs of a call, of one output, and its float64 reference with the labels, as NAME.*npz."""
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    (exact,) = model.run(tensors, dtype=torch.float64)
    allowed = {}
    right = int((exact.argmax(-1).numpy() == labels).sum())
    for precision, dtype in PRECISIONS.items():
        (own,) = model.run(tensors, dtype=dtype)
        floor = relative_floor(model.variants, dtype) * float(exact.abs().max())
        allowed[precision] = TORCH_ERROR_FACTOR * float((own.double() - exact).abs().max()) + floor
    np.savez(folder / f"{name}.npz", **inputs)
    np.savez(folder / f"{name}.reference.npz", output=exact.numpy(), labels=labels)
    return Run(f"{name}.npz", f"{name}.reference.npz", allowed, right)


def prepare_layer(index: int, name: str, folder: Path) -> AttentionLayer:
    """One attention call of half-precision tensors, converted at a few tokens and given 4096 afterwards."""
    module, inputs = LAYERS[name]
    example = tuple(torch.rand(*given.shape[:2], 96, *given.shape[3:]).half() for given in inputs.values())
    dynamic = {input_name: {2: "tokens"} for input_name in inputs}
    paths = {}
    for nodes in ("plugin", "body"):
        path = folder / f"layer-{index}-{nodes}.onnx"
        attnexport.convert(module, example, path, dynamic_shapes=dynamic, target=TARGET, nodes=nodes)
        model = ir.load(path)
        for value in model.graph.inputs:
            value.shape = ir.Shape(inputs[str(value.name)].shape)
        ir.save(model, path)
        paths[nodes] = path.name
    exact, allowed = _first_heads(module, inputs)
    reference = f"layer-{index}.reference.npz"
    np.savez(folder / reference, output=exact.astype(np.float32))
    return AttentionLayer(name, paths["plugin"], paths["body"], inputs, reference, allowed)


def _first_heads(module: nn.Module, inputs: dict[str, Drawn]) -> tuple[NDArray[Any], float]:
    """The float64 output of the first heads of the first sample, and the largest error allowed there."""
    generator = np.random.default_rng(0)
    drawn = (given.draw(generator) for given in inputs.values())
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(values[:1, :COMPARED_HEADS])) for values in drawn)
    few = copy.deepcopy(module)
    for name, value in few.named_buffers():
        setattr(few, name, value[:COMPARED_HEADS] if value.dim() else value)
    model = Model(torch.export.export(few, tensors))
    (exact,), (own,) = (model.run(tensors, dtype=dtype) for dtype in (torch.float64, torch.float16))
    floor = relative_floor(model.variants, torch.float16) * float(exact.abs().max())
    return exact.numpy(), TORCH_ERROR_FACTOR * float((own.double() - exact).abs().max()) + floor


if __name__ == "__main__":
    main()
