"""On which inputs a model runs: a recorded set, data of the user's, or generated ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.generated import chosen_kinds, generated_inputs
from attnexport.accuracy.inputs.generation import LONGEST
from attnexport.accuracy.inputs.options import InputOptions
from attnexport.accuracy.inputs.reading_anew import ReadAnew
from attnexport.accuracy.inputs.sizes import Profiles
from attnexport.accuracy.recorded.manifest_json import is_recorded_set
from attnexport.errors import InputError
from attnexport.models.model import Model

SEEDS = 3
"""Generated batches of each kind of values."""


@dataclass(frozen=True)
class ChosenInputs:
    """Inputs to run.

    Attributes:
        batches: the inputs; they are read or made each time that they are iterated.
        seed: of generated inputs, else None.
        left_out: why, for kinds that the model has no inputs of; filled by the iteration.
    """

    batches: Iterable[Batch]
    seed: int | None
    left_out: Mapping[str, str] = field(default_factory=dict)


def chosen_inputs(model: Model, options: InputOptions, engines: Sequence[Profiles] = ()) -> ChosenInputs:
    """The batches of a recorded set, of data, or generated ones of sizes that every engine takes.

    Raises:
        InputError: kinds that do not exist; options of generated inputs beside data; a model without example inputs.
    """
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
    generating = {"--kinds": options.kinds, "--seeds": options.seeds, "--longest": options.longest}
    for name, value in {**generating, "--seed": None if is_recorded_set(options.data) else options.seed}.items():
        if value is not None:
            raise InputError(f"{name}: expected without --data, which has its own inputs")
    return ChosenInputs(ReadAnew(options.data, model, options.seed), None)
