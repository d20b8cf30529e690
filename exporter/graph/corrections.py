"""Operators that torch.onnx translates wrongly: those that are written here, and those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.fx
from onnxscript import opset18 as typed_opset18
from onnxscript.function_libs.torch_lib.ops.core import aten__native_batch_norm_legit_functional, aten_clamp
from torch.export import ExportedProgram

from attnexport.errors import ConversionError
from attnexport.models.program import module_path
from attnexport.models.torch_graphs import all_graphs

op: Any = typed_opset18
"""Its annotations know of no constants and no lists, which it takes while a graph is traced."""


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """By torch operator, what writes it with standard operators."""
    aten = torch.ops.aten
    return {
        aten.clamp.default: _clamp,
        aten.log_sigmoid.default: _log_sigmoid,
        aten._native_batch_norm_legit_functional.default: _batch_norm,
    }


def _clamp(given: Any, min: float | None = None, max: float | None = None) -> Any:
    """Clip takes an infinite value for the largest finite one where a bound is missing."""
    if not given.dtype.is_floating_point() or (min is not None and max is not None):
        return aten_clamp(given, min, max)
    if min is not None:
        return op.Max(given, _number(min, given.dtype))
    return given if max is None else op.Min(given, _number(max, given.dtype))


def _log_sigmoid(given: Any) -> Any:
    """The logarithm of a sigmoid that underflowed is -inf."""
    return op.Neg(op.Softplus(op.Neg(given)))


def _batch_norm(
    given: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """torch.onnx takes the running statistics for the batch's own in training mode, and leaves them as they are."""
    if not training:
        return aten__native_batch_norm_legit_functional(
            given, weight, bias, running_mean, running_var, training, momentum, eps
        )
    axes = op.Constant(value_ints=[axis for axis in range(len(given.shape)) if axis != 1])
    mean = op.ReduceMean(given, axes, keepdims=False)
    difference = op.Sub(given, op.ReduceMean(given, axes))
    var = op.ReduceMean(op.Mul(difference, difference), axes, keepdims=False)
    normed, *_ = aten__native_batch_norm_legit_functional(given, weight, bias, mean, var, False, momentum, eps)
    rstd = op.Reciprocal(op.Sqrt(op.Add(var, _number(eps, given.dtype))))
    count = op.CastLike(op.Div(op.Size(given), op.Size(mean)), var)
    unbiased = op.Div(op.Mul(var, count), op.Sub(count, _number(1, given.dtype)))
    return normed, mean, rstd, _moved(running_mean, mean, momentum), _moved(running_var, unbiased, momentum)


def _moved(running: Any, towards: Any, share: float) -> Any:
    """A moving average after one more value."""
    return op.Add(running, op.Mul(op.Sub(towards, running), _number(share, running.dtype)))


def _number(number: float, dtype: ir.DataType) -> Any:
    return op.Constant(value=ir.tensor(np.array(number, dtype.numpy())))


def refuse_wrong(program: ExportedProgram) -> None:
    """Refuses what would become another function in ONNX.

    Raises:
        ConversionError: naming the module, the operator and the argument.
    """
    for graph in all_graphs(program.graph_module):
        for node in graph.nodes:
            why = _wrong(node)
            if why:
                operator = str(node.target).rpartition(".")[0]
                raise ConversionError(f"{module_path(node) or 'the model itself'} ({operator}): {why}")


def _wrong(node: torch.fx.Node) -> str:
    aten = torch.ops.aten
    if node.target is aten.scatter_reduce.two and node.args[4] == "mean":
        return "ONNX scatters no means: divide a scattered sum by a scattered count"
    if node.target in (aten.avg_pool2d.default, aten.avg_pool3d.default) and node.args[6:] not in ((), (None,)):
        return "ONNX pools have no divisor_override: multiply an ordinary average by kernel size / divisor"
    return ""
