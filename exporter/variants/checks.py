"""Shape checks of the public operators: one line that names the tensor, the expected and the given."""

from __future__ import annotations

import torch
from torch import Tensor


def describe(tensor: Tensor) -> str:
    """Shape and dtype for an error message, as (2, 4, 8, 16) float32."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def check(condition: bool, name: str, expected: str, tensor: Tensor) -> None:
    """Raises ValueError unless the condition holds."""
    if not condition:
        raise ValueError(f"{name}: expected {expected}, given {describe(tensor)}")


def check_heads(query_name: str, query: Tensor, key_name: str, key: Tensor, v: Tensor) -> None:
    """Checks query (B, H, N, Dk), key (B, Hkv, M, Dk) and v (B, Hkv, M, Dv), floating and H a multiple of Hkv."""
    check(query.dim() == 4 and query.is_floating_point(), query_name, "floating (B, H, N, D)", query)
    batch, heads, _, width = query.shape
    check(
        key.dim() == 4 and key.shape[0] == batch and key.shape[3] == width,
        key_name,
        f"(B={batch}, Hkv, M, D={width})",
        key,
    )
    kv_heads, keys = key.shape[1], key.shape[2]
    check(
        kv_heads > 0 and heads % kv_heads == 0,
        key_name,
        f"Hkv that divides H={heads}",
        key,
    )
    check(
        v.dim() == 4 and v.shape[0] == batch and v.shape[1] == kv_heads and v.shape[2] == keys,
        "v",
        f"(B={batch}, Hkv={kv_heads}, M={keys}, Dv)",
        v,
    )
    for name, tensor in ((key_name, key), ("v", v)):
        check(tensor.dtype == query.dtype, name, f"dtype of {query_name}, {query.dtype}", tensor)


def check_lengths(batch: int, kv_lengths: Tensor | None, q_start: Tensor | None) -> None:
    """Checks kv_lengths and q_start, int32 or int64 (B,)."""
    for name, tensor in (("kv_lengths", kv_lengths), ("q_start", q_start)):
        if tensor is not None:
            integral = tensor.dtype in (torch.int32, torch.int64)
            check(
                integral and tensor.dim() == 1 and tensor.shape[0] == batch,
                name,
                f"int32 (B={batch},)",
                tensor,
            )


def check_count(name: str, value: int | None) -> int:
    """A count that is None (returned as 0, the operator's 'none') or at least 1."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected None or an int >= 1, given {value!r}")
    return value


def as_int32(tensor: Tensor | None) -> Tensor | None:
    """kv_lengths or q_start in the operators' type."""
    return None if tensor is None else tensor.to(torch.int32)
