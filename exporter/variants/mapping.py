"""The vmap rule of every operator: the mapped dimension becomes part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor


def map_call(call: Callable[..., Tensor], size: int, in_dims: Any, args: Sequence[Any]) -> Tensor:
    """The operator for every slice of a mapped dimension: (size, B, H, N, Dv).

    Args:
        call: the operator.
        size: length of the mapped dimension.
        in_dims: where it lies in each argument, in the structure of ``args``; None for what is not mapped.
        args: the operator's arguments. One call serves all slices, unless a parameter that all samples of a batch
            share, as a temperature per head, is mapped: then every slice is a call.
    """
    leaves, layout = pytree.tree_flatten(list(args))
    dims = pytree.tree_leaves(list(in_dims))
    pairs = list(zip(leaves, dims, strict=True))
    if any(dim is not None and not _has_batch(leaf, dim) for leaf, dim in pairs):
        return torch.stack(
            [call(*pytree.tree_unflatten([_slice(*pair, index) for pair in pairs], layout)) for index in range(size)]
        )
    batch = _batch(*pairs[0])
    out = call(*pytree.tree_unflatten([_fold(*pair, size, batch) for pair in pairs], layout))
    unfolded: Tensor = out.unflatten(0, (size, batch))
    return unfolded


def _has_batch(tensor: Tensor, dim: int | None) -> bool:
    """Integers are bounds of the keys, one per sample; of the floating ones the parameters have no batch axis."""
    rank = tensor.dim() - (dim is not None)
    return rank >= 3 or not tensor.is_floating_point()


def _batch(query: Tensor, dim: int | None) -> int:
    return query.shape[1 if dim == 0 else 0]


def _slice(leaf: Any, dim: int | None, index: int) -> Any:
    return leaf if dim is None else leaf.select(dim, index)


def _fold(leaf: Any, dim: int | None, size: int, batch: int) -> Any:
    """The tensor with the mapped dimension, or copies of what is not mapped, in front of its batch axis.

    What is the same for all samples of a batch, whose batch axis is 1, stays as it is where it is not mapped either.
    """
    if not isinstance(leaf, Tensor) or not _has_batch(leaf, dim):
        return leaf
    if dim is None:
        return leaf if leaf.shape[0] != batch else leaf.expand(size, *leaf.shape).flatten(0, 1)
    mapped = leaf.movedim(dim, 0)
    return mapped.expand(-1, batch, *mapped.shape[2:]).flatten(0, 1)
