"""Batches of files, which a check may iterate more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch.export import ExportedProgram

from attnexport.accuracy.inputs.files import Batch, data_batches
from attnexport.accuracy.recorded.manifest_json import is_recorded_set
from attnexport.accuracy.recorded.reading import recorded_batches
from attnexport.models.loading.dim_notes import DimNames


@dataclass(frozen=True)
class ReadAnew:
    """Batches that are read from their files each time that they are iterated.

    Attributes:
        read: begins to read.
    """

    read: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        return self.read()


def read_data(
    data: Path, program: ExportedProgram, source_hash: str, dim_names: DimNames, *, seed: int | None = None
) -> ReadAnew:
    """The batches of a recorded set, or of an .npz or a folder of them.

    Args:
        data: the set, file or folder.
        program: the model.
        source_hash: of the model, which a set must be of.
        dim_names: of the model's dynamic dims, for messages.
        seed: that a set must be of. Default: None, any.
    """
    if is_recorded_set(data):
        return ReadAnew(partial(recorded_batches, data, program, source_hash, seed=seed, dim_names=dim_names))
    return ReadAnew(partial(data_batches, program, data, dim_names=dim_names))
