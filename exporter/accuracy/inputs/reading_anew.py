"""Batches of files, which a check may iterate more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attnexport.accuracy.inputs.files import Batch, data_batches
from attnexport.accuracy.recorded.manifest_json import is_recorded_set
from attnexport.accuracy.recorded.reading import recorded_batches
from attnexport.models.model import Model


@dataclass(frozen=True)
class ReadAnew:
    """Batches that are read from their files each time that they are iterated.

    Attributes:
        read: begins to read.
    """

    read: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        return self.read()


def read_data(data: Path, model: Model, *, seed: int | None = None) -> ReadAnew:
    """The batches of a recorded set, or of an .npz or a folder of them.

    Args:
        data: the set, file or folder.
        model: the model, which a set must be of.
        seed: that a set must be of. Default: None, any.
    """
    if is_recorded_set(data):
        return ReadAnew(partial(recorded_batches, data, model, seed=seed))
    return ReadAnew(partial(data_batches, model, data))
