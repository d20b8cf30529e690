"""Batches of files, which a check may iterate more than once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attnexport.accuracy.inputs.files import Batch, data_batches
from attnexport.accuracy.recorded.manifest_json import is_recorded_set
from attnexport.accuracy.recorded.reading import recorded_batches
from attnexport.models.model import Model


@dataclass(frozen=True)
class ReadAnew:
    """The batches of a recorded set, or of an .npz or a folder of them, read each time that they are iterated.

    Attributes:
        data: the set, file or folder.
        model: the model, which a set must be of.
        seed: that a set must be of. Default: None, any.
    """

    data: Path
    model: Model
    seed: int | None = None

    def __iter__(self) -> Iterator[Batch]:
        if is_recorded_set(self.data):
            return recorded_batches(self.data, self.model, seed=self.seed)
        return data_batches(self.model, self.data)
