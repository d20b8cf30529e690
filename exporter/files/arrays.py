"""Tensors as NumPy arrays, and their types in words."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def dtype_name(dtype: torch.dtype) -> str:
    """A type as NumPy and messages name it, as float32."""
    return str(dtype).removeprefix("torch.")


def as_array(tensor: Tensor) -> NDArray[Any]:
    """A NumPy array of the tensor's values; bfloat16 becomes ml_dtypes' bfloat16."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        bits: NDArray[Any] = tensor.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    array: NDArray[Any] = tensor.numpy()
    return array
