"""A small model, its ONNX file, and quantized copies of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper as onh
import torch
from onnxruntime import quantization
from torch import nn

import attnexport

WIDTH = 16
QDQ = {"QuantizeBias": False, "ActivationSymmetric": True}
ASYMMETRIC = {"QuantizeBias": False, "ActivationSymmetric": False}


class Block(nn.Module):
    """Attention and an MLP, each with a residual."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = attnexport.TopNAttention(WIDTH, 2, 3)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 32), activation, nn.Linear(32, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


@dataclass(frozen=True)
class Files:
    """A model and what was made from it.

    Attributes:
        model: the .pt2.
        floating: its ONNX file.
        data: inputs.
        folder: that they lie in.
    """

    model: Path
    floating: Path
    data: Path
    folder: Path


class Samples(quantization.CalibrationDataReader):
    """Inputs for ONNX Runtime's calibration, one batch at a time."""

    def __init__(self, array: np.ndarray) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter(
            [{"x": array[i : i + 4]} for i in range(0, len(array), 4)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def make_files(folder: Path, activation: nn.Module | None = None) -> Files:
    """Saves and converts the model, by default with GELU, with 16 samples of data."""
    files = Files(folder / "m.pt2", folder / "m.onnx", folder / "data.npz", folder)
    model, example = Block(activation or nn.GELU()).eval(), torch.randn(2, 8, WIDTH)
    attnexport.save(model, files.model, args=(example,), dynamic_shapes={"x": {0: "batch"}})
    attnexport.convert(model, (example,), files.floating, dynamic_shapes={"x": {0: "batch"}})
    np.savez(files.data, x=np.random.default_rng(0).standard_normal((16, 8, WIDTH)).astype(np.float32))
    return files


def quantize(
    files: Files,
    name: str,
    source: Path | None = None,
    *,
    integer_operators: bool = False,
    options: dict[str, bool] = QDQ,
) -> Path:
    """An int8 file by ONNX Runtime's own quantizer."""
    output = files.folder / name
    quantization.quantize_static(
        source or files.floating,
        output,
        Samples(np.load(files.data)["x"]),
        quant_format=quantization.QuantFormat.QOperator if integer_operators else quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=not integer_operators,
        extra_options={"QuantizeBias": True} if integer_operators else options,
    )
    return output


def edited(path: Path, output: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    """A copy of a file with something changed."""
    model = onnx.load(path)
    edit(model)
    onnx.save(model, output)
    return output


def with_initializer(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Changes a weight or scale in place."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = onh.to_array(tensor)
    tensor.CopyFrom(onh.from_array(change(array).astype(array.dtype), name))
