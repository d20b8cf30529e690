"""Input tensors for shapes nobody gave examples of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def like_example(example: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """A tensor of that shape with values as in the example.

    Floats are normal with the example's mean and deviation, integers uniform between its smallest and largest
    value (so that token numbers and lengths stay valid), booleans fair coins.
    """
    shape = tuple(shape)
    if example.dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if not example.is_floating_point():
        low, high = (int(example.min()), int(example.max())) if example.numel() else (0, 0)
        return torch.randint(low, high + 1, shape, generator=generator).to(example.dtype)
    values = example.double()
    mean = values.mean() if values.numel() else torch.tensor(0.0)
    deviation = values.std() if values.numel() > 1 else torch.tensor(1.0)
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (drawn * deviation.nan_to_num(1.0) + mean).to(example.dtype)


def generator(seed: int) -> torch.Generator:
    """A seeded CPU generator."""
    return torch.Generator().manual_seed(seed)
