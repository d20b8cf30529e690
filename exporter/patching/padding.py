"""Padding masks as the run of keys that each sample has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.errors import InputError


@dataclass(frozen=True)
class KeyRun:
    """The keys of each sample.

    Attributes:
        kv_start, kv_lengths: int32 (B,), as the operators have them.
        whole: (B,), whether the mask hides nothing between them; None where that is known.
    """

    kv_start: Tensor
    kv_lengths: Tensor
    whole: Tensor | None

    def marked(self, out: Tensor) -> Tensor:
        """An output (B, H, N, D) with NaN for the samples whose mask is no single run."""
        return out if self.whole is None else out.masked_fill(~self.whole[:, None, None, None], float("nan"))


def key_run(present: Tensor, layer: str, name: str, plain: Tensor | None = None) -> KeyRun:
    """Of a boolean mask (B, M) that is true where a key is there.

    A sample whose keys are no single run is refused where values are known. While torch exports they are not: the
    exported program gives NaN for it.

    Args:
        present: the mask.
        layer, name: of the layer and the mask, for the message.
        plain: (B,), whether the mask says no more than ``present``. Default: None, it does.

    Raises:
        InputError: a sample whose keys are no single run.
    """
    positions = torch.arange(present.shape[1], device=present.device, dtype=torch.int32)
    ends = torch.where(present, positions + 1, 0).amax(1)
    starts = torch.where(present, positions, ends[:, None]).amin(1)
    whole = present.sum(1) == ends - starts
    if plain is not None:
        whole = whole & plain
    if tracing():
        return KeyRun(starts, ends, whole)
    if not bool(whole.all()):
        raise InputError(
            f"{layer}: {name}: expected the keys of each sample in one run and nothing else in the mask, given one "
            "with a hole, or that adds to scores"
        )
    return KeyRun(starts, ends, None)


def tracing() -> bool:
    """Whether torch exports or compiles, so that values are not known."""
    return torch.compiler.is_compiling() or torch.compiler.is_exporting()
