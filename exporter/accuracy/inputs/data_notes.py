"""What should be known of data: arrays that nothing takes, and those that are read in another type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attnexport.errors import shortlist
from attnexport.files.npz import StoredArray
from attnexport.messages import named


class DataNotes:
    """Gathers, while files are read, what a user should know of them."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, None]] = {}

    def add(self, file: Path, stored: Mapping[str, StoredArray], inputs: Mapping[str, str], labels: str) -> None:
        """Takes in the arrays of an open file, of which the one called ``labels`` is for metrics.

        Args:
            file: for messages.
            stored: its arrays by name.
            inputs: types by name, as float32, that arrays are read in.
            labels: name of an array that no input takes.
        """
        for said in _said(stored, inputs, labels):
            self._files.setdefault(said, {})[str(file)] = None

    def sentences(self) -> tuple[str, ...]:
        """One for each thing that is so, with the files where it is."""
        return tuple(f"{shortlist(list(files))}: {said}" for said, files in self._files.items())


def _said(stored: Mapping[str, StoredArray], inputs: Mapping[str, str], labels: str) -> Iterator[str]:
    unused = sorted(set(stored) - set(inputs) - {labels})
    if unused:
        yield f"no input takes {shortlist(unused)}"
    for name, wanted in inputs.items():
        if name in stored:
            given = _type_of(stored[name])
            if given != wanted:
                yield f"{named('input', name)} is read as {wanted}, given {given}"


def _type_of(array: StoredArray) -> str:
    return "bfloat16" if array.dtype.str[1:] == "V2" else array.dtype.name
