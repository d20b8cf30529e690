"""What generated inputs are made from: a model with its example, seeds and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attnexport.accuracy.inputs.scaling import is_scalable, largest_scale
from attnexport.accuracy.inputs.sizes import Profiles, SizeRange, size_ranges
from attnexport.errors import first_line
from attnexport.models.examples import generator, like_example
from attnexport.models.first_keys import fewest_keys
from attnexport.models.model import Model

LONGEST = 1024
"""Size up to which dynamic dims are generated, unless the example's is larger."""

FIRST_SEED = 1000
"""Of the first batch of a kind, when the user gives none."""


class NotApplicable(Exception):
    """A kind that a model has no inputs of; the message says why."""


@dataclass(frozen=True)
class Generation:
    """What kinds are generated from.

    Attributes:
        model: the model, with example inputs.
        seeds: how many batches of each kind of values.
        seed: number of the first.
        longest: size up to which dynamic dims are generated.
        engines: shapes that engines take, which sizes are kept within.
    """

    model: Model
    seeds: int
    seed: int = 0
    longest: int = LONGEST
    engines: Sequence[Profiles] = ()

    @cached_property
    def ranges(self) -> tuple[SizeRange, ...]:
        """The dynamic dims."""
        return size_ranges(self.model, self.longest, self.engines)

    @cached_property
    def large_scale(self) -> float:
        """What values like the example's are multiplied by for large ones.

        Raises:
            NotApplicable: they cannot be, or are large already.
        """
        tensors = self.like_examples({}, generator(FIRST_SEED + self.seed))
        if not any(is_scalable(tensor) and tensor.any() for tensor in tensors):
            raise NotApplicable("no floating input that is not zero")
        try:
            scale = largest_scale(self.model, tensors)
        except Exception as error:
            raise NotApplicable(f"PyTorch cannot run the model in fp64: {first_line(error)}") from error
        if scale <= 1:
            raise NotApplicable("products of the example's own values come near half's limit")
        return scale

    def state_after(self, tensors: Sequence[Tensor], count: int) -> list[Tensor]:
        """What one call leaves in the model's ``count`` buffers.

        Raises:
            NotApplicable: PyTorch cannot run the model on these inputs.
        """
        if not count:
            return []
        try:
            return self.model.run(tensors)[-count:]
        except Exception as error:
            raise NotApplicable(f"PyTorch cannot run the model: {first_line(error)}") from error

    def fewest_keys(self, tensors: Sequence[Tensor]) -> int:
        """Keys of the attention call that is told where keys begin and has the fewest.

        Raises:
            NotApplicable: PyTorch cannot run the model on these inputs.
        """
        try:
            return fewest_keys(self.model, tensors)
        except Exception as error:
            raise NotApplicable(f"PyTorch cannot run the model: {first_line(error)}") from error

    def takes(self, tensors: Sequence[Tensor]) -> bool:
        """Whether PyTorch can run the model on these inputs."""
        try:
            self.model.run(tensors)
        except Exception:
            return False
        return True

    def like_examples(self, sizes: Mapping[str, int], random: torch.Generator) -> list[Tensor]:
        """Inputs with values like the example's; dynamic dims that are not in ``sizes`` have the example's."""
        chosen = {**{size.symbol: size.example for size in self.ranges}, **sizes}
        shapes = self.model.shapes_at(chosen)
        pairs = zip(self.model.examples, shapes, strict=True)
        return [like_example(example, shape, random) for example, shape in pairs]
