"""How a quantized ONNX file is held to the model: once without its Q/DQ nodes, and once to the same fake quantization.

Rounding to 8 bits errs by far more than PyTorch in float32, so that its budget says little about the graph around it.
Therefore two files are made from a quantized one:

- the plain one, without Q/DQ nodes, with the model's own weights, and no layer that computes in half between casts:
  it must compute the model within the budget of its floating precision, which proves that the graph is the model's;
- the yardstick, with Q/DQ nodes and with the model's own weights rounded to the file's grids: that graph, so proven,
  with the file's rounding in it is PyTorch with the same fake quantization. Its error is what the budget of the file,
  or of an engine built from it, is made from.

Weights are recognised by their values, as the file may have transposed or renamed them, and each may err twice as much
as the model's weight does when it is rounded to the same grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.accuracy.check.budget import TORCH_ERROR_FACTOR
from attnexport.accuracy.errors.distance import relative_l2
from attnexport.graph.half_layers import half_layers, widen_half_layers
from attnexport.graph.half_rules import constant_of
from attnexport.graph.inspection import check_external_data
from attnexport.graph.quantization import (
    QuantizedWeight,
    check_is_qdq,
    quantized_precision,
    quantized_weights,
    remove_quantizers,
    replace_weights,
)
from attnexport.graph.writing import write_model
from attnexport.models.model import Model

RECOGNISED = 0.5
"""Relative L2 difference up to which a quantized weight is taken for one of the model's: 3 bits err by about 0.2."""


@dataclass(frozen=True)
class WeightFault:
    """A weight that is not one of the model's, rounded.

    Attributes:
        name: of the tensor in the file.
        what: what is wrong with it.
    """

    name: str
    what: str


@dataclass(frozen=True)
class QuantizedFile:
    """What was made from a quantized file.

    Attributes:
        precision: as int8, fp8 or int4-weights.
        plain: the file without Q/DQ nodes, with the model's weights.
        yardstick: the file with the model's weights, rounded.
        faults: weights that are not the model's.
    """

    precision: str
    plain: Path
    yardstick: Path
    faults: tuple[WeightFault, ...]


def take_apart(path: Path, held_to: Model, folder: Path) -> QuantizedFile | None:
    """Makes the two files of a quantized one, in the folder; None for a file without Q/DQ nodes.

    Raises:
        InputError: integer operators in place of Q/DQ nodes, or scales that are computed.
    """
    check_external_data(path)
    model = ir.load(path)
    check_is_qdq(model, str(path))
    precision = quantized_precision(model)
    if precision is None:
        return None
    held = list(_floating(held_to.program))
    originals: dict[str, NDArray[Any]] = {}
    rounded: dict[str, NDArray[Any]] = {}
    faults = []
    for weight in quantized_weights(model):
        original = _original(weight.values, held)
        if original is None:
            faults.append(WeightFault(weight.name, "is none of the model's weights, however transposed"))
            continue
        originals[weight.name], rounded[weight.name] = original, weight.grid.rounded(original)
        faults += _beyond_rounding(weight, original, rounded[weight.name])
    halves: dict[str, NDArray[Any]] = {}
    for constant in (value for layer in half_layers(model) for value in layer.constants):
        name, values = constant.name or "", constant_of(constant)
        assert values is not None
        original = _original(values.astype(np.float64), held)
        if original is None:
            faults.append(WeightFault(name, "is none of the model's weights, however transposed"))
        halves[name] = values if original is None else original
    folder.mkdir(parents=True, exist_ok=True)
    yardstick, plain = folder / f"{path.stem}.yardstick.onnx", folder / f"{path.stem}.plain.onnx"
    replace_weights(model, rounded)
    write_model(model, yardstick)
    model = ir.load(path)
    replace_weights(model, originals)
    widen_half_layers(model, halves)
    remove_quantizers(model)
    write_model(model, plain)
    return QuantizedFile(precision, plain, yardstick, tuple(faults))


def _floating(program: ExportedProgram) -> Iterator[NDArray[Any]]:
    """The floating parameters, buffers and constants of a program, in float64."""
    for value in (*program.state_dict.values(), *program.constants.values()):
        if isinstance(value, Tensor) and value.is_floating_point():
            yield value.detach().double().cpu().numpy()


def _original(values: NDArray[np.float64], held: list[NDArray[Any]]) -> NDArray[Any] | None:
    """The model's weight that is nearest to a quantized one, in its layout; None when none is near."""
    candidates = [layout for array in held if array.size == values.size for layout in _layouts(array, values.shape)]
    if not candidates:
        return None
    nearest = min(candidates, key=lambda candidate: relative_l2(values, candidate))
    return nearest if relative_l2(values, nearest) <= RECOGNISED else None


def _layouts(array: NDArray[Any], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """A weight as exporters write it: as it is, transposed, and with axes of size 1 more or fewer."""
    for turned in (array, array.T) if array.ndim > 1 else (array,):
        if [size for size in turned.shape if size != 1] == [size for size in shape if size != 1]:
            yield turned.reshape(shape)


def _beyond_rounding(
    weight: QuantizedWeight, original: NDArray[Any], rounded: NDArray[np.float64]
) -> Iterator[WeightFault]:
    given, allowed = relative_l2(weight.values, original), TORCH_ERROR_FACTOR * relative_l2(rounded, original)
    # Scales are float32, and so may weights have been: a few roundings of that are no fault.
    if given > allowed + 4 * np.finfo(np.float32).eps:
        yield WeightFault(
            weight.name, f"errs by {given:.3g} (relative L2) from the model's, its grid allows {allowed:.3g}"
        )
