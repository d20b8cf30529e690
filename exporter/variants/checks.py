"""Shape checks of the public operators: one line that names the tensor, the expected and the given."""

from __future__ import annotations

import torch
from torch import Tensor

from attnexport.files.arrays import dtype_name
from attnexport.variants.options import count_or_none


def describe(tensor: Tensor) -> str:
    """Shape and dtype for an error message, as (2, 4, 8, 16) float32."""
    return f"{tuple(tensor.shape)} {dtype_name(tensor.dtype)}"


def check(condition: bool, name: str, tensor: Tensor, expected: str, *values: object) -> None:
    """Raises ValueError unless the condition holds; the values fill the braces of ``expected``.

    The message is put together when it is needed and not before: torch.compile and torch.export fix a size that is
    written into a text.
    """
    if not condition:
        raise ValueError(f"{name}: expected {expected.format(*values)}, given {describe(tensor)}")


def same_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value in autocast's dtype where it is on and theirs differ, as torch's own attention takes them.

    Rotated queries and keys, and features in float32, meet values that autocast has made half precision.
    """
    kind = tensors[0].device.type
    if len({tensor.dtype for tensor in tensors}) == 1 or not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(
        tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor
        for tensor in tensors
    )


def check_heads(query_name: str, query: Tensor, key_name: str, key: Tensor, v: Tensor) -> None:
    """Checks query (B, H, N, Dk), key (B, Hkv, M, Dk) and v (B, Hkv, M, Dv), floating and H a multiple of Hkv."""
    check(query.dim() == 4 and query.is_floating_point(), query_name, query, "floating (B, H, N, D)")
    batch, heads, _, width = query.shape
    check(
        key.dim() == 4 and key.shape[0] == batch and key.shape[3] == width,
        key_name,
        key,
        "(B={}, Hkv, M, D={})",
        batch,
        width,
    )
    kv_heads, keys = key.shape[1], key.shape[2]
    check(kv_heads > 0 and heads % kv_heads == 0, key_name, key, "Hkv that divides H={}", heads)
    check(
        v.dim() == 4 and v.shape[0] == batch and v.shape[1] == kv_heads and v.shape[2] == keys,
        "v",
        v,
        "(B={}, Hkv={}, M={}, Dv)",
        batch,
        kv_heads,
        keys,
    )
    for name, tensor in ((key_name, key), ("v", v)):
        check(tensor.dtype == query.dtype, name, tensor, "dtype of {}, {}", query_name, query.dtype)


def checked_qkv(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q (B, H, N, Dk), k (B, Hkv, M, Dk) and v (B, Hkv, M, Dv) in one precision, checked as check_heads says."""
    q, k, v = same_precision(q, k, v)
    check_heads("q", q, "k", k, v)
    return q, k, v


def checked_lengths(
    batch: int, kv_lengths: Tensor | None, q_start: Tensor | None, kv_start: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """kv_lengths, q_start and kv_start, int32 or int64 (B,), in the operators' int32."""
    for name, tensor in (("kv_lengths", kv_lengths), ("q_start", q_start), ("kv_start", kv_start)):
        if tensor is not None:
            integral = tensor.dtype in (torch.int32, torch.int64)
            check(
                integral and tensor.dim() == 1 and tensor.shape[0] == batch,
                name,
                tensor,
                "int32 (B={},)",
                batch,
            )
    return _as_int32(kv_lengths), _as_int32(q_start), _as_int32(kv_start)


def _as_int32(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to(torch.int32)


def checked_bias(bias: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """A bias (B or 1, H or 1, N or 1, M) in the query's dtype; B, H and N are the query's sizes, M the key's."""
    if bias is None:
        return None
    sizes = (*query.shape[:3], key.shape[2])
    fits = bias.dim() == 4 and bias.is_floating_point() and bias.shape[3] == sizes[3]
    fits = fits and all(given in (1, size) for given, size in zip(bias.shape, sizes[:3], strict=False))
    check(fits, "bias", bias, "floating (1 or B={}, 1 or H={}, 1 or N={}, M={})", *sizes)
    return bias.to(query.dtype)


def scale_or_default(scale: float | None, q: Tensor) -> float:
    """The factor on the scores: Dk ** -0.5 where none is given."""
    return float(q.shape[-1] ** -0.5 if scale is None else scale)


def check_count(name: str, value: int | None) -> int:
    """A count that is None (returned as 0, the operator's 'none') or at least 1."""
    return count_or_none(name, value) or 0
