"""attnexport.record: inputs and reference outputs of a model for a device without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attnexport.accuracy.check.results import DataKind
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.choosing import chosen_inputs
from attnexport.accuracy.inputs.options import InputOptions
from attnexport.accuracy.recorded.options import named_precisions, refuse_unfit_options
from attnexport.accuracy.recorded.writing import write_set
from attnexport.display.progress import Progress, unheard
from attnexport.models.fitness import refuse_unfit
from attnexport.models.loading.sources import ModelSource, as_model
from attnexport.models.state.choices import AS_NEEDED


@dataclass(frozen=True)
class RecordedSet:
    """What was recorded.

    Attributes:
        path: the folder.
        precisions: that it has budgets for.
        kinds: the kinds of inputs, those left out too.
        notes: what a user should know, one sentence each.
    """

    path: Path
    precisions: tuple[str, ...]
    kinds: tuple[DataKind, ...]
    notes: tuple[str, ...] = ()

    @property
    def batches(self) -> int:
        """How many were recorded."""
        return sum(kind.batches for kind in self.kinds)


def record(
    model: ModelSource,
    folder: str | os.PathLike[str],
    args: Sequence[Any] | Tensor | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    data: str | os.PathLike[str] | None = None,
    kinds: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    longest: int | None = None,
    precisions: Sequence[str] = ("fp32", "fp16", "bf16"),
    progress: Progress = unheard,
) -> RecordedSet:
    """Writes inputs, reference outputs, budgets and the script that compares, whole or not at all.

    Args:
        model, args, kwargs, dynamic_shapes: as :func:`attnexport.check` takes them.
        folder: the set, which must not exist yet.
        data, kinds, seeds, seed, longest: inputs, as :func:`attnexport.check` takes them.
        precisions: to give budgets for. Default: fp32, fp16 and bf16.
        progress: is told of each step, and the share of it that is done. Default: nobody is.

    Raises:
        InputError: a folder that exists, a precision that does not, a model or inputs that cannot be used, or a
            reference that is not finite for data that the user gave.
        BackendError: PyTorch cannot run the model at one of the precisions.
        ConversionError: the module cannot be exported, or is one that no file can be held to.
    """
    folder = Path(folder)
    options = InputOptions(None if data is None else Path(data), kinds, seeds, seed, longest)
    refuse_unfit_options(folder, precisions)
    wanted = named_precisions(precisions)
    options.check()
    source = as_model(model, args, kwargs, dynamic_shapes)
    refuse_unfit(source)
    held = source.without_state(AS_NEEDED)
    inputs = chosen_inputs(held, options)
    recorded = write_set(
        TorchRuns(held),
        inputs.batches,
        wanted,
        folder,
        seed=inputs.seed,
        left_out=inputs.left_out,
        progress=progress,
    )
    return RecordedSet(folder, wanted, recorded, (*held.all_notes, *inputs.notes.sentences()))
