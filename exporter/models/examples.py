"""Input tensors for shapes nobody gave examples of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def like_example(example: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """A tensor of that shape whose values are drawn from the example's, so that they stay where the model wants them.

    Token numbers, lengths, masks and positive quantities remain what they are. An empty example gives zeros.
    """
    values = example.detach().reshape(-1)
    if values.numel() == 0:
        return torch.zeros(tuple(shape), dtype=example.dtype)
    picks = torch.randint(values.numel(), tuple(shape), generator=generator)
    return values[picks]


def generator(seed: int) -> torch.Generator:
    """A seeded CPU generator."""
    return torch.Generator().manual_seed(seed)
