"""Quantizes an ONNX file: Q/DQ nodes around its layers, attention left in the type that it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from attnexport.calibration.applying import apply, check_opset
from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import all_layers
from attnexport.calibration.observing import calibrate
from attnexport.calibration.options import METHODS, named_types, refuse_unfit_options
from attnexport.calibration.plans import plan_for
from attnexport.calibration.ranges import Ranges, read_ranges
from attnexport.calibration.schemes import SCHEMES
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.kinds import ONNX
from attnexport.files.outputs import check_not_same, check_output, replacing, sha256
from attnexport.graph.inspection import model_sha256
from attnexport.graph.quantization import quantized_precision
from attnexport.graph.writing import write_model
from attnexport.messages import option


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
        notes: what a user should know, a sentence each.
    """

    path: Path
    sha256: str
    precision: str
    layers: Mapping[str, str]
    kept: tuple[str, ...]
    parameters: tuple[int, int]
    ranges: Ranges | None
    notes: tuple[str, ...] = ()


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
    block: int | None = None,
    backend: str = "onnxruntime",
    per_channel: bool = True,
    target: str | None = None,
    progress: Progress = unheard,
) -> Quantization:
    """Writes a file whose layers are quantized symmetrically, weights by output channel or by equal blocks.

    Only products with constant weights are quantized. Attention, norms, residual sums and what functions compute stay
    in the types that they have, and every node keeps its body.

    Args:
        path: an ONNX file of convert.
        output: the file to write.
        to: int8, fp8, int8-weights or int4-weights.
        data: an .npz or a folder of them, with an array for each input. Default: None, for weights alone or ranges.
        method: minmax, percentile, entropy or mse; with modelopt minmax, entropy, or awq for int4-weights. Another
            than the default must be that of ranges, where they are given. Default: minmax, or that of ranges.
        samples: how many rows of the data to run; only beside data. Default: None, all.
        ranges: what calibrate found, in place of data. Default: None.
        keep: types by pattern of layer names, as ``{"blocks.0.*": "fp16"}``; such layers are not quantized.
        block: how many weights share a scale in int4-weights, which is only about it where they cannot be cut into
            equal blocks of so many. Default: None, 32.
        backend: whose ranges and rounded weights are written: onnxruntime, whose histograms ranges are read off, or
            modelopt, NVIDIA's quantizer, where it is installed. Where Q/DQ nodes stand does not depend on it, but
            ModelOpt leaves layers that it finds too small. Default: onnxruntime.
        per_channel: whether a weight of 8 bits has a scale for each output, or one. Default: True.
        target: a device the file is for, whose TensorRT must have the type. Default: None, any.
        progress: told the share of the data that has run. Default: nobody.

    Raises:
        InputError: a file without layers or already quantized, of an opset without the type, data or ranges that do not
            fit, or an output that cannot be written.
        BackendError: the file does not run, or ModelOpt fails.
    """
    path, output, keep = Path(path), Path(output), named_types(keep or {})
    refuse_unfit_options(
        path,
        to=to,
        method=method,
        samples=samples,
        data=data,
        ranges=ranges,
        keep=keep,
        block=block,
        backend=backend,
        per_channel=per_channel,
        target=target,
    )
    check_output(output, ONNX)
    check_not_same(output, path)
    scheme = replace(SCHEMES[to], block=block or SCHEMES[to].block, by_output=per_channel)
    model = floating_model(path)
    layers = all_layers(path, model)
    check_opset(path, model, scheme, layers)
    plan = plan_for(layers, scheme, keep)
    found, weights = None, None
    notes: tuple[str, ...] = ()
    if backend == "modelopt":
        from attnexport.calibration.modelopt.running import choose

        choice = choose(path, layers, plan, scheme, data=data, method=method, samples=samples, progress=progress)
        plan, found, weights, notes = choice.plan, choice.ranges, choice.weights, choice.notes
    elif plan.rounds_activations:
        found = ranges_for(path, data, ranges, method=method, samples=samples, progress=progress)
        notes = found.notes
    apply(path, model, layers, plan, found, weights)
    with replacing(output) as staging:
        write_model(model, staging / output.name)
    quantized = sum(layer.parameters for layer in layers if layer.name in plan.schemes)
    return Quantization(
        path=output,
        sha256=sha256(output),
        precision=quantized_precision(model) or "",
        layers={name: scheme.name for name, scheme in plan.schemes.items()},
        kept=tuple(plan.kept),
        parameters=(quantized, sum(layer.parameters for layer in layers)),
        ranges=found,
        notes=notes,
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
        InputError: ranges of another file, or by another method than was asked for, or data that does not fit.
    """
    if ranges is None:
        assert data is not None
        return calibrate(path, data, method=method, samples=samples, progress=progress)
    found = ranges if isinstance(ranges, Ranges) else read_ranges(ranges)
    given = model_sha256(path)
    if found.model_sha256 != given:
        raise InputError(f"{path}: expected SHA-256 {found.model_sha256}, whose ranges these are, given {given}")
    if method not in (METHODS[0], found.method):
        raise InputError(f"{option('--method')}: expected {found.method}, by which these ranges are, given {method}")
    return found
