"""Batches of files, which a check may iterate more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attnexport.accuracy.data import Batch


@dataclass(frozen=True)
class ReadAnew:
    """Batches that are read from their files each time that they are iterated.

    Attributes:
        read: begins to read.
    """

    read: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        return self.read()
