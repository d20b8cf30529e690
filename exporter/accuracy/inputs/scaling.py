"""How far a model's inputs can be scaled until products of the values inside come near half precision's limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attnexport.models.model import Model

HALF_LIMIT = torch.finfo(torch.float16).max


def is_scalable(tensor: Tensor) -> bool:
    """Whether an input has values that can be scaled."""
    return tensor.is_floating_point() and tensor.numel() > 0


def scaled(tensors: Sequence[Tensor], scale: float) -> list[Tensor]:
    """The inputs with floating values times ``scale``."""
    return [tensor * scale if is_scalable(tensor) else tensor for tensor in tensors]


def _largest_held(value: object) -> float:
    """The largest magnitude that half precision can hold; masks are beyond it."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return 0.0
    sizes = value.abs()
    held = sizes[sizes <= HALF_LIMIT]
    return float(held.max()) if held.numel() else 0.0


def largest_scale(model: Model, tensors: Sequence[Tensor]) -> float:
    """The largest power of two that keeps squares of all values below half's limit; at most 1 when there is none.

    So large, scores of attention come near that limit too.
    """

    def largest_inside(scale: float) -> float:
        inputs = scaled(tensors, scale)
        sizes = [0.0, *(float(tensor.abs().max()) for tensor in inputs if is_scalable(tensor))]
        model.run(inputs, dtype=torch.float64, visit=lambda call: sizes.append(_largest_held(call.value)))
        return max(sizes)

    wanted = math.sqrt(HALF_LIMIT)
    exponent = math.floor(math.log2(wanted / max(largest_inside(1.0), 1 / HALF_LIMIT)))
    while exponent > 0 and largest_inside(2.0**exponent) > wanted:
        exponent -= 1
    return 2.0**exponent
