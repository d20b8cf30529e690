"""Quantizes an ONNX file: Q/DQ nodes around its layers, attention left in the type that it has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import Layer, layers_of
from attnexport.calibration.observing import calibrate
from attnexport.calibration.options import named_types, refuse_unfit_options
from attnexport.calibration.ranges import Ranges, read_ranges
from attnexport.calibration.rewriting import cast_layers, quantize_activations, quantize_weights
from attnexport.calibration.schemes import SCHEMES, Scheme, kept_types
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.kinds import ONNX
from attnexport.files.outputs import check_not_same, check_output, replacing, sha256
from attnexport.graph.metadata import PREFIX
from attnexport.graph.quantization import quantized_precision
from attnexport.graph.writing import write_model
from attnexport.messages import count, option

_OPSET_OF_HALF_SCALES = 19
"""The first whose Q/DQ nodes take float16 and bfloat16."""


@dataclass(frozen=True)
class Quantization:
    """A quantized file.

    Attributes:
        path: of the file.
        sha256: of the file.
        precision: as int8 or int4-weights.
        layers: scheme of each quantized layer by name, in the file's order.
        kept: names of the layers that are not quantized.
        parameters: how many numbers the quantized weights hold, and how many all layers' weights do.
        ranges: what the scales of activations are from; None where only weights are quantized.
    """

    path: Path
    sha256: str
    precision: str
    layers: Mapping[str, str]
    kept: tuple[str, ...]
    parameters: tuple[int, int]
    ranges: Ranges | None


def quantize(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    to: str,
    data: str | os.PathLike[str] | None = None,
    method: str = "minmax",
    samples: int | None = None,
    ranges: str | os.PathLike[str] | Ranges | None = None,
    keep: Mapping[str, str] | None = None,
    progress: Progress = unheard,
) -> Quantization:
    """Writes a file whose layers are quantized symmetrically, weights by output channel or by blocks of 32.

    Only products with constant weights are quantized. Attention, norms, residual sums and what functions compute stay
    in the types that they have, and every node keeps its body.

    Args:
        path: an ONNX file of convert.
        output: the file to write.
        to: int8, fp8, int8-weights or int4-weights.
        data: an .npz or a folder of them, with an array for each input. Default: None, for weights alone or ranges.
        method: minmax, percentile, entropy or mse. Default: minmax.
        samples: how many rows of the data to run. Default: None, all.
        ranges: what calibrate found, in place of data. Default: None.
        keep: types by pattern of layer names, as ``{"blocks.0.*": "fp16"}``; such layers are not quantized.
        progress: told the share of the data that has run. Default: nobody.

    Raises:
        InputError: a file without layers or already quantized, of an opset without the type, data or ranges that do not
            fit, or an output that cannot be written.
        BackendError: the file does not run.
    """
    path, output, keep = Path(path), Path(output), named_types(keep or {})
    refuse_unfit_options(path, to=to, method=method, samples=samples, data=data, ranges=ranges, keep=keep)
    check_output(output, ONNX)
    check_not_same(output, path)
    scheme = SCHEMES[to]
    model = floating_model(path)
    layers = list(layers_of(model))
    if not layers:
        raise InputError(f"{path}: expected MatMul, Gemm or Conv nodes with constant weights to quantize, given none")
    check_opset(path, model, scheme, layers)
    kept = kept_types(layers, keep)
    chosen = [layer for layer in layers if layer.name not in kept]
    if not chosen:
        raise InputError(f"{option('--keep')}: expected a layer to be left to quantize, given patterns of all")
    found = None
    if scheme.activations is not None:
        found = ranges_for(path, data, ranges, method=method, samples=samples, progress=progress)
        check_ranges(path, chosen, found)
        quantize_activations(model, chosen, found.tensors, scheme.activations)
    quantize_weights(model, chosen, scheme.weights, block=scheme.block)
    for layer in layers:
        dtype = kept.get(layer.name)
        if dtype is not None:
            cast_layers(model, [layer], dtype)
    check_quantized(path, chosen, scheme)
    if found is not None:
        model.metadata_props[f"{PREFIX}calibration"] = f"{found.method} of {count(found.samples, 'sample')}"
    with replacing(output) as staging:
        write_model(model, staging / output.name)
    return Quantization(
        path=output,
        sha256=sha256(output),
        precision=quantized_precision(model) or "",
        layers={layer.name: scheme.name for layer in chosen},
        kept=tuple(kept),
        parameters=(sum(layer.parameters for layer in chosen), sum(layer.parameters for layer in layers)),
        ranges=found,
    )


def check_opset(path: Path, model: ir.Model, scheme: Scheme, layers: Iterable[Layer]) -> None:
    """Refuses a file whose opset lacks the scheme's types, or scales of the type that its layers have.

    Raises:
        InputError: naming both opsets.
    """
    opset = model.opset_imports.get("", 0)
    half = next((layer for layer in layers if layer.weight.dtype != ir.DataType.FLOAT), None)
    least = scheme.opset if half is None else max(scheme.opset, _OPSET_OF_HALF_SCALES)
    if opset < least:
        of = "" if half is None else f" of a file whose layer {half.name} is {half.weight.dtype}"
        raise InputError(
            f"{path}: {scheme.name}{of} needs opset {least}, given {opset}: convert with {option('--opset', least)}"
        )


def ranges_for(
    path: Path,
    data: str | os.PathLike[str] | None,
    ranges: str | os.PathLike[str] | Ranges | None,
    *,
    method: str,
    samples: int | None,
    progress: Progress,
) -> Ranges:
    """The ranges that were given, held to the file, or those that its data gives.

    Raises:
        InputError: ranges of another file, or data that does not fit.
    """
    if ranges is None:
        assert data is not None
        return calibrate(path, data, method=method, samples=samples, progress=progress)
    found = ranges if isinstance(ranges, Ranges) else read_ranges(ranges)
    given = sha256(path)
    if found.model_sha256 != given:
        raise InputError(f"{path}: expected SHA-256 {found.model_sha256}, whose ranges these are, given {given}")
    return found


def check_ranges(path: Path, layers: Iterable[Layer], ranges: Ranges) -> None:
    """Refuses ranges without one for every layer's activation.

    Raises:
        InputError: naming the tensor.
    """
    for layer in layers:
        if layer.activation.name not in ranges.tensors:
            raise InputError(
                f"{path}: layer {layer.name}: expected a range for tensor {layer.activation.name}, given none"
            )


def check_quantized(path: Path, layers: Iterable[Layer], scheme: Scheme) -> None:
    """Holds rewritten layers to their scheme.

    Raises:
        InputError: a layer whose weight, or whose activation where the scheme rounds it, stayed as it was.
    """
    operands = 1 if scheme.activations is None else 2
    for layer in layers:
        rounded = [value for value in layer.node.inputs[:2] if value is not None and _is_dequantized(value)]
        if len(rounded) != operands:
            raise InputError(
                f"{path}: layer {layer.name}: expected {count(operands, 'quantized operand')}, made {len(rounded)}"
            )


def _is_dequantized(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"
