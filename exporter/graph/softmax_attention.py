"""Torch's own softmax attention in ONNX, with zeros where a mask hides a whole row, as torch gives them.

torch.onnx's translation gives the mean of the values in such a row, or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as typed_opset18

op: Any = typed_opset18
"""Its annotations know of no constants and no lists, which it takes while a graph is traced."""


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """By torch operator, what writes it with standard operators."""
    aten = torch.ops.aten
    return {
        aten.scaled_dot_product_attention.default: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu.default: _attention_and_sums,
        aten._safe_softmax.default: _safe_softmax,
    }


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    rank = len(key.shape)
    if enable_gqa:
        key, value = (_for_every_head(given, query.shape[-3]) for given in (key, value))
    scores = _scores(query, key, rank, attn_mask, is_causal, scale)
    return op.MatMul(_weights(scores, query.dtype, masked=attn_mask is not None), value)


def _attention_and_sums(
    query: Any,
    key: Any,
    value: Any,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> tuple[Any, Any]:
    scores = _scores(query, key, len(key.shape), attn_mask, is_causal, scale)
    outputs = op.MatMul(_weights(scores, query.dtype, masked=attn_mask is not None), value)
    return outputs, op.ReduceLogSumExp(scores, [-1], keepdims=0)


def _safe_softmax(scores: Any, dim: int, dtype: int | None = None) -> Any:
    wide = scores if dtype is None else op.Cast(scores, to=int(dtype))
    return _weights(wide, scores.dtype if dtype is None else ir.DataType(dtype), axis=dim, masked=True)


def _for_every_head(given: Any, heads: int) -> Any:
    """(…, Hkv, M, D) to (…, H, M, D): every head for its group of query heads."""
    rank, own = len(given.shape), given.shape[-3]
    if own == heads:
        return given
    shape = op.Shape(given)
    tail = op.Slice(shape, [rank - 2], [rank])
    before = [op.Slice(shape, [0], [rank - 3])] if rank > 3 else []
    grouped = op.Concat(*before, op.Constant(value_ints=[own, heads // own]), tail, axis=0)
    wanted = op.Concat(*before, op.Constant(value_ints=[heads]), tail, axis=0)
    return op.Reshape(op.Expand(op.Unsqueeze(given, [rank - 2]), grouped), wanted)


def _scores(query: Any, key: Any, rank: int, mask: Any, is_causal: bool, scale: float | None) -> Any:
    """Scaled products of rows and keys of this rank, -inf where a row does not see a key."""
    wanted = query.shape[-1] ** -0.5 if scale is None else scale
    root = math.sqrt(abs(wanted))
    rows = op.Mul(query, _number(math.copysign(root, wanted), query.dtype))
    turned = op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = op.MatMul(rows, op.Mul(turned, _number(root, query.dtype)))
    if is_causal:
        mask = _sees_itself_and_before(query, key)
    if mask is None:
        return scores
    if is_causal or mask.dtype == ir.DataType.BOOL:
        return op.Where(mask, scores, _number(-math.inf, query.dtype))
    return op.Add(scores, mask)


def _sees_itself_and_before(query: Any, key: Any) -> Any:
    """(N, M), true from the upper left corner on, wherever N and M differ."""
    zero, one = (op.Constant(value_int=number) for number in (0, 1))
    counts = (op.Squeeze(op.Shape(given, start=-2, end=-1), [0]) for given in (query, key))
    rows, keys = (op.Range(zero, count, one) for count in counts)
    return op.GreaterOrEqual(op.Unsqueeze(rows, [1]), keys)


def _weights(scores: Any, dtype: ir.DataType, *, masked: bool, axis: int = -1) -> Any:
    weights = op.Softmax(scores, axis=axis)
    if not masked:
        return weights
    hidden = op.Equal(op.ReduceMax(scores, [axis], keepdims=1), _number(-math.inf, dtype))
    return op.Where(hidden, _number(0.0, dtype), weights)


def _number(number: float, dtype: ir.DataType) -> Any:
    """A constant of all digits that its type has."""
    return op.Constant(value=ir.tensor(np.array(number, dtype.numpy())))
