"""On which inputs a model runs: a recorded set, data of the user's, or generated ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.accuracy.inputs.data_notes import DataNotes
from attnexport.accuracy.inputs.files import Batch, data_batches
from attnexport.accuracy.inputs.generated import chosen_kinds, generated_inputs
from attnexport.accuracy.inputs.generation import LONGEST
from attnexport.accuracy.inputs.options import InputOptions
from attnexport.accuracy.inputs.sizes import Profiles
from attnexport.accuracy.recorded.places import is_recorded_set
from attnexport.accuracy.recorded.reading import recorded_batches
from attnexport.models.model import Model

SEEDS = 3
"""Generated batches of each kind of values."""


@dataclass(frozen=True)
class ReadAnew:
    """The batches of a recorded set, or of an .npz or a folder of them, read each time that they are iterated.

    Attributes:
        data: the set, file or folder.
        model: the model, which a set must be of.
        seed: that a set must be of. Default: None, any.
        notes: takes in what should be known of a file or folder while it is read.
    """

    data: Path
    model: Model
    seed: int | None = None
    notes: DataNotes = field(default_factory=DataNotes)

    def __iter__(self) -> Iterator[Batch]:
        if is_recorded_set(self.data):
            return recorded_batches(self.data, self.model, seed=self.seed)
        return data_batches(self.model, self.data, notes=self.notes)


@dataclass(frozen=True)
class ChosenInputs:
    """Inputs to run.

    Attributes:
        batches: the inputs; they are read or made each time that they are iterated.
        seed: of generated inputs, else None.
        left_out: why, for kinds that the model has no inputs of; filled by the iteration.
        notes: what should be known of data; filled by the iteration.
    """

    batches: Iterable[Batch]
    seed: int | None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: DataNotes = field(default_factory=DataNotes)


def chosen_inputs(model: Model, options: InputOptions, engines: Sequence[Profiles] = ()) -> ChosenInputs:
    """The batches of a recorded set, of data, or generated ones of sizes that every engine takes.

    Raises:
        InputError: kinds that do not exist; options of generated inputs beside data; a model without example inputs.
    """
    options.check()
    if options.data is None:
        seed = options.seed or 0
        made = generated_inputs(
            model,
            chosen_kinds(options.kinds),
            seeds=options.seeds or SEEDS,
            seed=seed,
            longest=LONGEST if options.longest is None else options.longest,
            engines=engines,
        )
        return ChosenInputs(made, seed, made.left_out)
    read = ReadAnew(options.data, model, options.seed)
    return ChosenInputs(read, None, notes=read.notes)
