"""What is held to the reference: model files, PyTorch at another precision, and outputs recorded elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.files import Batch
from attnexport.backends import Backend, fed
from attnexport.errors import InputError
from attnexport.files.arrays import as_array
from attnexport.files.npz import open_arrays
from attnexport.messages import named
from attnexport.models.model import Model

Outputs = dict[str, NDArray[Any]]


class Contender(Protocol):
    """Gives outputs for batches.

    Attributes:
        facts: what it is.
        precision: of the PyTorch run that it is held to, as TorchRuns names it.
        is_yardstick: whether it is that run itself. Default: False.
        notes: what a user should know, one sentence each.
        failures: what is wrong with it before it runs.
    """

    facts: ContenderFacts
    precision: str
    is_yardstick: bool = False
    notes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    def outputs(self, batch: Batch) -> Outputs:
        """Outputs by the model's names.

        Raises:
            BackendError: it does not run on this batch.
            InputError: recorded outputs that do not fit.
        """


def match_names(kind: str, wanted: tuple[str, ...], given: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Which of the contender's names stands for which of the model's: by name, else by position with a note.

    Raises:
        InputError: another number of names.
    """
    if len(wanted) != len(given):
        raise InputError(
            f"{kind}s: expected {len(wanted)} ({', '.join(wanted)}), the file has {len(given)} ({', '.join(given)})"
        )
    if set(wanted) == set(given):
        return {name: name for name in wanted}, []
    note = f"{kind}s were matched by position: {', '.join(wanted)} in the model, {', '.join(given)} in the file"
    return dict(zip(wanted, given, strict=True)), [note]


class BackendContender(Contender):
    """A model file in a backend.

    Attributes:
        profiles: shapes that the file takes, by input of the model, for files that are built for some.

    Raises:
        InputError: another number of inputs or outputs than the model's.
    """

    def __init__(self, facts: ContenderFacts, backend: Backend, model: Model) -> None:
        self.facts, self.precision, self.backend = facts, facts.precision, backend
        wanted = model.input_names
        names, about_inputs = match_names("input", wanted, backend.input_names)
        self._outputs, about_outputs = match_names("output", model.output_names, backend.output_names)
        infos = {info.name: info for info in backend.inputs}
        self._inputs = [infos[names[name]] for name in wanted]
        self.profiles = {
            name: info.profile for name, info in zip(wanted, self._inputs, strict=True) if info.profile is not None
        }
        self.notes = (*about_inputs, *about_outputs)

    def outputs(self, batch: Batch) -> Outputs:
        """Runs the file once.

        Raises:
            BackendError: it does not run on these inputs.
        """
        given = self.backend.run(self.feeds(batch))
        return {name: given[theirs] for name, theirs in self._outputs.items()}

    def feeds(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The inputs by the file's names, in its types."""
        pairs = zip(self._inputs, batch.tensors, strict=True)
        return {info.name: fed(as_array(tensor), info) for info, tensor in pairs}


class TorchContender(Contender):
    """The model in PyTorch at another precision: fp64, fp32, fp16 or bf16."""

    def __init__(self, facts: ContenderFacts, runs: TorchRuns, precision: str) -> None:
        self.facts, self.precision = facts, facts.precision
        self._runs, self._own = runs, precision
        self.is_yardstick = facts.precision == precision

    def outputs(self, batch: Batch) -> Outputs:
        """Runs the model once.

        Raises:
            BackendError: PyTorch cannot run it on these inputs.
        """
        values = self._runs.compute(batch.tensors, self._own)
        return dict(zip(self._runs.model.output_names, values, strict=True))


class RecordedContender(Contender):
    """Outputs that something else computed, in .npz files named like those of the inputs.

    ``path`` is their folder, or the one file when the inputs are one file.
    """

    def __init__(self, facts: ContenderFacts, path: Path, model: Model) -> None:
        self.facts, self.precision = facts, facts.precision
        self._path, self._names = path, model.output_names
        self._open: tuple[Path, Outputs] | None = None

    def outputs(self, batch: Batch) -> Outputs:
        """The rows of this batch.

        Raises:
            InputError: no file for it, or one with other outputs or rows.
        """
        return {name: self._rows(array, name, batch) for name, array in self._arrays(batch).items()}

    def _arrays(self, batch: Batch) -> Outputs:
        """The file's arrays by the model's names."""
        path = self._path / f"{batch.name}.npz" if self._path.is_dir() else self._path
        if self._open is None or self._open[0] != path:
            if not path.is_file():
                raise InputError(f"{self._path}: expected {path.name} with the outputs for {batch.source}, found none")
            with open_arrays(path) as stored:
                matched, notes = match_names("output", self._names, tuple(stored))
                self._open = path, {name: stored[theirs].read() for name, theirs in matched.items()}
            self.notes = tuple(dict.fromkeys((*self.notes, *notes)))
        return self._open[1]

    def _rows(self, array: NDArray[Any], name: str, batch: Batch) -> NDArray[Any]:
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"{self._path}: {named('output', name)} for {batch.source}: expected numbers, given {array.dtype}"
            )
        if batch.rows == batch.file_rows:
            return array
        if array.ndim == 0 or len(array) != batch.file_rows:
            raise InputError(
                f"{self._path}: {named('output', name)}: expected {batch.file_rows} rows as in {batch.name}.npz, "
                f"given {array.shape}"
            )
        return array[batch.first_row : batch.first_row + batch.rows]
